import torch

from usod.training.losses import certain_as_label, f_beta_loss


def test_f_beta_by_hand():
    """TP = 0.9 + 0.4, sum p = 1.6, sum t = 2: precision 1.3/1.6, recall 1.3/2 (appendix A, equations 2 to 4)."""
    p = torch.tensor([[[0.9, 0.4], [0.2, 0.1]]])
    t = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
    precision, recall = 1.3 / 1.6, 1.3 / 2
    for beta2 in (0.3, 1.0, 4.0):
        f = (1 + beta2) * precision * recall / (beta2 * precision + recall)
        torch.testing.assert_close(f_beta_loss(p, t, beta2, eps=0), torch.tensor([1 - f]))


def test_f_beta_is_image_by_image_and_bounded():
    t = torch.zeros(3, 4, 4)
    t[:2, :2] = 1
    p = torch.stack([t[0], 1 - t[1], torch.rand(4, 4)])
    loss = f_beta_loss(p, t, 0.3)
    torch.testing.assert_close(loss, torch.tensor([0.0, 1.0, 1.0]), atol=1e-5, rtol=0)


def test_gradient_raises_labelled_pixels_and_lowers_others():
    p = torch.full((1, 2, 2), 0.5, requires_grad=True)
    f_beta_loss(p, torch.tensor([[[1.0, 1.0], [0.0, 0.0]]]), 0.3).sum().backward()
    assert (p.grad[0, 0] < 0).all() and (p.grad[0, 1] > 0).all()


def test_an_empty_label_teaches_nothing_and_stops_no_other():
    """F is 0 whatever is predicted: loss 1, no gradient at all. An image that is labelled has its own."""
    p = torch.full((2, 2, 2), 0.5, requires_grad=True)
    target = torch.stack([torch.zeros(2, 2), torch.eye(2)])
    loss = f_beta_loss(p, target, 1.0)
    loss.mean().backward()
    assert loss[0] == 1 and (p.grad[0] == 0).all() and (p.grad[1] != 0).all()


def test_pixels_more_certain_than_their_label_have_no_gradient():
    label = torch.tensor([[[0.8, 0.8, 0.1, 0.1]]])
    p = torch.tensor([[[0.9, 0.6, 0.05, 0.3]]], requires_grad=True)
    q = certain_as_label(p, label, 0.5)
    assert q.tolist() == [[[1.0, p[0, 0, 1].item(), 0.0, p[0, 0, 3].item()]]]
    q.sum().backward()
    assert p.grad.tolist() == [[[0, 1, 0, 1]]]
