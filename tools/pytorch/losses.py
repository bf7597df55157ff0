"""losses.py: the losses of the published code that are more than a line, in the type of what comes in."""
import torch
import torch.nn.functional as F


def focal(logits, mask):
    p, m = torch.softmax(logits, 1), mask.to(logits.dtype)
    target = torch.cat([1 - m, m], 1).clamp(1e-5, 1 - 1e-5)
    pt = (target * p).sum(1) + 1e-5
    return (-(1 - pt)**2 * pt.log()).mean()


def ssim_window(channels, dtype=torch.float32):
    line = torch.exp(-(torch.arange(11, dtype=torch.float64) - 5)**2 / (2 * 1.5**2)).to(dtype)
    return (line / line.sum()).outer(line / line.sum()).expand(channels, 1, 11, 11).contiguous()


def ssim_loss(rec, x, window, span=1):
    """span: of the values that a picture may have."""
    c1, c2 = (0.01 * span)**2, (0.03 * span)**2

    def blur(v):
        return F.conv2d(v, window, padding=5, groups=v.shape[1])

    a, b = blur(rec), blur(x)
    va, vb, vab = blur(rec * rec) - a * a, blur(x * x) - b * b, blur(rec * x) - a * b
    return 1 - ((2 * a * b + c1) * (2 * vab + c2) / ((a * a + b * b + c1) * (va + vb + c2))).mean()
