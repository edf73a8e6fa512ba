"""Global pooling of score maps, and WSS's smooth pooling among it (Wang et al., CVPR 2017, section 3.1)."""

from typing import Literal

import torch
from torch import Tensor, nn

Pooling = Literal["gsp", "gmp", "gap", "lse", "rank"]


def project_onto_simplex(x: Tensor) -> Tensor:
    """The nearest point of the probability simplex, along the last dimension (Duchi et al., ICML 2008, Fig. 1).

    Parameters
    ----------
    x : (..., d)

    Returns
    -------
    (..., d), not negative, of sum 1; differentiable wherever the set of positive entries does not change
    """
    ordered = x.sort(dim=-1, descending=True).values
    excess = ordered.cumsum(dim=-1) - 1
    count = torch.arange(1, x.shape[-1] + 1, device=x.device, dtype=x.dtype)
    kept = (ordered * count > excess).sum(dim=-1, keepdim=True)  # entries that stay positive: always the largest
    threshold = excess.gather(-1, kept - 1) / kept.to(x.dtype)
    return (x - threshold).clamp(min=0)


class GlobalPooling(nn.Module):
    """Score maps (B, C, H, W) to scores (B, C).

    - gsp: w s, w = argmin over the simplex of |s / mu - w|^2 (Eqs. 3, 4); mu -> 0 gives gmp, a large mu gap
    - gmp: the maximum (Eq. 1);  gap: the mean
    - lse: log(mean(exp(r s))) / r, r = `sharpness` (Pinheiro & Collobert, CVPR 2015)
    - rank: the mean of the values in falling order, weighted with 1, d, d^2, ..., d = `decay` (Kolesnikov & Lampert,
      ECCV 2016)

    Parameters
    ----------
    mu : smoothness of gsp (3.3: 10)
    constant_weights : gsp, as released: the weights have no gradient of their own, and ds/ds_i = w_i, which is the
        gradient of the smoothed maximum of Eq. 2. False: the gradient of Eq. 4 as it stands.
    """

    def __init__(
        self,
        kind: Pooling = "gsp",
        mu: float = 10.0,
        sharpness: float = 5.0,
        decay: float = 0.996,
        constant_weights: bool = True,
    ) -> None:
        super().__init__()
        self.kind, self.mu, self.sharpness, self.decay = kind, mu, sharpness, decay
        self.constant_weights = constant_weights

    def forward(self, scores: Tensor) -> Tensor:
        flat = scores.flatten(2)
        if flat.dtype in (torch.float16, torch.bfloat16):
            flat = flat.float()  # sums over hundreds of cells
        if self.kind == "gmp":
            return flat.amax(dim=-1)
        if self.kind == "gap":
            return flat.mean(dim=-1)
        if self.kind == "lse":
            size = torch.tensor(float(flat.shape[-1]), device=flat.device)
            return ((self.sharpness * flat).logsumexp(dim=-1) - size.log()) / self.sharpness
        if self.kind == "rank":
            powers = self.decay ** torch.arange(flat.shape[-1], device=flat.device, dtype=flat.dtype)
            return (flat.sort(dim=-1, descending=True).values * powers).sum(-1) / powers.sum()
        weights = project_onto_simplex((flat.detach() if self.constant_weights else flat) / self.mu)
        return (weights * flat).sum(dim=-1)
