#!/usr/bin/python3
"""golden_train.py [FOLDER] - what PyTorch makes of losses, optimizers and ten steps of a small ViT.

Writes tests/golden/vit.safetensors, the ViT before training, a checkpoint as any other, and train.safetensors,
all else that tests/test_train_golden.c compares vise with. Both are committed: neither building nor testing
needs this script. It wants Debian's python3-torch (made with 1.13.0) and
python3-numpy. Everything is drawn with a seed, computed in double and stored as f32.
SPDX-License-Identifier: MIT
"""
import json
import struct
import sys

import torch
import torch.nn.functional as F
from torch import nn

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
torch.manual_seed(20)
vit, out = {}, {}  # tensors of the two files


def keep(name, tensor, to=out):
    to[name] = tensor.detach().clone().float()


def draw(*shape, scale=1.0):
    """Numbers that f32 holds exactly."""
    return (torch.randn(*shape) * scale).float().double()


# ---- a ViT with timm's names: pre-norm, GELU by erf ----

SIZE, PATCH, DIM, DEPTH, HEADS, MLP, CLASSES = 16, 4, 24, 2, 2, 48, 10
BATCH, BATCHES, STEPS = 8, 2, 10


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(DIM, 3 * DIM)
        self.proj = nn.Linear(DIM, DIM)

    def forward(self, x):
        B, T, _ = x.shape
        q, k, v = self.qkv(x).reshape(B, T, 3, HEADS, DIM // HEADS).permute(2, 0, 3, 1, 4)
        p = (q @ k.transpose(-2, -1) * (DIM // HEADS) ** -0.5).softmax(-1)
        return self.proj((p @ v).transpose(1, 2).reshape(B, T, DIM))


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(DIM, MLP)
        self.fc2 = nn.Linear(MLP, DIM)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1 = nn.LayerNorm(DIM, eps=1e-6)
        self.attn = Attention()
        self.norm2 = nn.LayerNorm(DIM, eps=1e-6)
        self.mlp = Mlp()

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Conv2d(3, DIM, PATCH, PATCH)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


class ViT(nn.Module):
    def __init__(self):
        super().__init__()
        tokens = (SIZE // PATCH) ** 2
        self.cls_token = nn.Parameter(torch.zeros(1, 1, DIM))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + tokens, DIM))
        self.patch_embed = PatchEmbed()
        self.blocks = nn.Sequential(*[Block() for _ in range(DEPTH)])
        self.norm = nn.LayerNorm(DIM, eps=1e-6)
        self.head = nn.Linear(DIM, CLASSES)

    def forward(self, x):
        x = self.patch_embed(x)
        x = torch.cat((self.cls_token.expand(len(x), -1, -1), x), 1) + self.pos_embed
        return self.head(self.norm(self.blocks(x))[:, 0])


def is_matrix(name):
    return name.endswith("weight") and "norm" not in name


def train():
    net = ViT()
    with torch.no_grad():
        for name, p in net.named_parameters():
            size = 0.5 / p[0].numel() ** 0.5 if is_matrix(name) else 0.1
            p.copy_(draw(*p.shape, scale=size) + ("norm" in name and "weight" in name))
            p.copy_(p.float().double())
            keep(name, p, vit)
    x = draw(BATCHES, BATCH, 3, SIZE, SIZE)
    y = torch.randint(0, CLASSES, (BATCHES, BATCH))
    keep("vit.pixels", x.permute(0, 1, 3, 4, 2))  # channels last
    keep("vit.labels", y)
    groups = [
        {"params": [p for n, p in net.named_parameters() if is_matrix(n)], "weight_decay": 0.05},
        {"params": [p for n, p in net.named_parameters() if not is_matrix(n)], "weight_decay": 0},
    ]
    # A large eps: gradients that are zero but for rounding (of keys' biases) must not become whole steps.
    optim = torch.optim.AdamW(groups, lr=1, betas=(0.9, 0.99), eps=1e-4)
    losses, norms, rates = [], [], []
    for step in range(STEPS):
        rate = 4e-3 * (step + 1) / STEPS
        for g in optim.param_groups:
            g["lr"] = rate
        optim.zero_grad()
        loss = F.cross_entropy(net(x[step % BATCHES]), y[step % BATCHES], label_smoothing=0.1)
        loss.backward()
        norms.append(nn.utils.clip_grad_norm_(net.parameters(), 1.0))
        optim.step()
        losses.append(loss)
        rates.append(torch.tensor(rate))
    keep("vit.losses", torch.stack(losses))
    keep("vit.norms", torch.stack(norms))
    keep("vit.rates", torch.stack(rates))
    for name, p in net.named_parameters():
        keep("final." + name, p)


# ---- losses: value and gradient ----


def loss(name, value, *of):
    value.backward()
    keep(f"loss.{name}", value.reshape(1))
    for what, x in of:
        keep(f"loss.{name}.d{what}", x.grad)
        x.grad = None


def relation(x, heads):
    """[pictures, heads, tokens, tokens] logarithms of relations"""
    B, T, D = x.shape
    x = x.reshape(B, T, heads, D // heads).transpose(1, 2)
    return (x @ x.transpose(-2, -1) / (D // heads) ** 0.5).log_softmax(-1)


def losses():
    x, teacher = draw(4, CLASSES, scale=2).requires_grad_(), draw(4, CLASSES, scale=3)
    targets = draw(4, CLASSES).softmax(1).float().double()
    labels = torch.randint(0, CLASSES, (4,))
    for name, t in (("x", x), ("teacher", teacher), ("targets", targets), ("labels", labels)):
        keep("loss." + name, t)
    loss("soft_targets", F.cross_entropy(x, targets), ("x", x))
    loss("smoothed", F.cross_entropy(x, labels, label_smoothing=0.1), ("x", x))
    soft = F.kl_div((x / 3).log_softmax(1), (teacher / 3).log_softmax(1), reduction="batchmean", log_target=True)
    loss("soft", 9 * soft, ("x", x))
    loss("hard", F.cross_entropy(x, teacher.argmax(1)), ("x", x))
    loss("mse", F.mse_loss(x, teacher), ("x", x))
    loss("normalised", F.mse_loss(x, teacher) / teacher.var(unbiased=False), ("x", x))
    value, w, wide = draw(2, 5, 6).requires_grad_(), draw(9, 6, scale=0.5).requires_grad_(), draw(2, 5, 9)
    for name, t in (("value", value), ("w", w), ("wide", wide)):
        keep("loss." + name, t)
    loss("projected", F.mse_loss(F.linear(value, w), wide), ("x", value), ("w", w))
    kl = F.kl_div(relation(value, 3), relation(wide, 3), reduction="sum", log_target=True)
    loss("relation", kl / (2 * 3 * 5), ("x", value))


# ---- optimizers: five steps of given gradients ----


def lamb(x, grads, rate, decay, b1=0.9, b2=0.999, eps=1e-6):
    """Algorithm 2 of arXiv 1904.00962, phi the identity: PyTorch has none."""
    m, v = torch.zeros_like(x), torch.zeros_like(x)
    for t, g in enumerate(grads, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g * g
        r = m / (1 - b1**t) / ((v / (1 - b2**t)).sqrt() + eps) + decay * x
        x = x - rate * x.norm() / r.norm() * r
    return x


def optimizers():
    start, grads = draw(40), draw(5, 40, scale=0.1)
    keep("optim.start", start)
    keep("optim.grads", grads)
    for name, make in (
        ("adamw", lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1)),
        ("sgd", lambda p: torch.optim.SGD(p, lr=0.01, weight_decay=0.1)),
        ("momentum", lambda p: torch.optim.SGD(p, lr=0.01, weight_decay=0.1, momentum=0.9)),
        ("nesterov", lambda p: torch.optim.SGD(p, lr=0.01, weight_decay=0.1, momentum=0.9, nesterov=True)),
    ):
        x = start.clone().requires_grad_()
        optim = make([x])
        for g in grads:
            x.grad = g.clone()
            optim.step()
        keep("optim." + name, x)
    keep("optim.lamb", lamb(start, grads, 0.01, 0.1))
    x = start.clone().requires_grad_()
    x.grad = grads[0].clone()
    keep("optim.norm", nn.utils.clip_grad_norm_([x], 0.25).reshape(1))
    keep("optim.clipped", x.grad)


def save(path, tensors):
    header, data = {"__metadata__": {"made_by": "scripts/golden_train.py", "torch": torch.__version__}}, b""
    for name, t in tensors.items():
        raw = t.contiguous().numpy().astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


train()
losses()
optimizers()
folder = sys.argv[1] if len(sys.argv) > 1 else "tests/golden"
save(folder + "/vit.safetensors", vit)
save(folder + "/train.safetensors", out)
