#!/usr/bin/env python3
"""The peer on a GPU: Cairn's network, loss and matcher said again in PyTorch, and timed.

    python3 tests/peers/torch_peer.py --device cuda --json FILE [--only TEXT] [--repeat N]

Each row is one benchmark in one precision and one mode: eager, or a mode of torch.compile. A row
that cannot be had (memory, a compiler that gives up) has null seconds and a note that says why.

fp32: TF32 off; tf32: float32 with TF32 convolutions and products; bf16: networks under autocast and
TF32 for the rest, operations on bfloat16 tensors. Losses are float32. Everything is channels-last.
Images, weights and positions lie on the device before a run begins.
peak_bytes: the most memory allocated during the runs, operands included; for CUDA graphs
(reduce-overhead), which hide that, what the allocator reserved.
"""
import argparse
import gc
import json
import math
import statistics
import sys
import time
from itertools import product

try:
    import torch
    import torch._dynamo  # its counters tell of a graph left out
    from torch import nn
    from torch.nn import functional as F
except (ImportError, OSError) as e:
    sys.exit(f"torch_peer: PyTorch is missing: {e}")

EAGER, TUNED, GRAPHS = "eager", "max-autotune-no-cudagraphs", "reduce-overhead"

# ---- The network: ucn/resunet.cpp

VARIANTS = {  # channels going down (C1..C4) and up (T1..T4), residual blocks per level
    "ResUNetBN2": ((32, 64, 128, 256), (32, 64, 64, 128), 1),
    "ResUNetBN2B": ((32, 64, 128, 256), (64, 64, 64, 64), 1),
    "ResUNetBN2C": ((32, 64, 128, 256), (64, 64, 64, 128), 1),
    "ResUNetBN2D": ((32, 64, 128, 256), (64, 64, 128, 128), 1),
    "ResUNetBN2D2": ((32, 64, 128, 256), (128, 128, 128, 128), 1),
    "ResUNetBN2D3": ((32, 64, 128, 256), (128, 128, 192, 192), 1),
    "ResUNetBN2E": ((128, 128, 128, 256), (64, 128, 128, 128), 1),
    "ResUNetBN2F": ((16, 32, 64, 128), (16, 32, 64, 128), 1),
    "ResUNetBN2G": ((128, 128, 192, 256), (128, 128, 192, 256), 1),
    "ResUNetBN2G2": ((128, 128, 192, 256), (192, 128, 192, 256), 1),
    "ResUNetBN2G3": ((128, 128, 192, 256), (192, 128, 192, 192), 1),
    "ResUNetBN2H": ((128, 128, 192, 256), (128, 128, 192, 256), 2),
}


def normalize(x, dim, dtype=torch.float32):
    """x / (||x|| + 1e-8) in this type."""
    return x / (torch.linalg.vector_norm(x, dim=dim, keepdim=True, dtype=dtype) + 1e-8)


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)) + x, inplace=True)


class ResUNet(nn.Module):
    """N x 1 x H x W in [-0.5, 0.5] to N x outputs x H x W of unit length."""

    def __init__(self, model, outputs=64, inputs=1, bn_momentum=0.05):
        super().__init__()
        c, t, depth = VARIANTS[model]

        def level(suffix, conv, channels):
            setattr(self, f"conv{suffix}", conv)
            setattr(self, f"norm{suffix}", nn.BatchNorm2d(channels, momentum=bn_momentum))
            blocks = nn.Sequential(*[Block(channels) for _ in range(depth)])
            setattr(self, f"blocks{suffix}", blocks)

        for i, (n_in, n_out) in enumerate(zip((inputs, *c), c)):
            conv = nn.Conv2d(n_in, n_out, 3, stride=2 if i else 1, padding=1, bias=False)
            level(f"{i + 1}", conv, n_out)
        for i, n_in in ((3, c[3]), (2, t[3] + c[2]), (1, t[2] + c[1])):
            level(f"{i + 1}_tr", nn.ConvTranspose2d(n_in, t[i], 3, stride=2, bias=False), t[i])
        self.conv1_tr = nn.Conv2d(t[1] + c[0], t[0], 1, bias=False)
        self.final = nn.Conv2d(t[0], outputs, 1)
        for m in self.modules():
            if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)):
                fan = "fan_in" if isinstance(m, nn.ConvTranspose2d) else "fan_out"
                nn.init.kaiming_normal_(m.weight, mode=fan, nonlinearity="relu")

    def level(self, suffix, x):
        conv, norm, blocks = (getattr(self, part + suffix) for part in ("conv", "norm", "blocks"))
        return blocks(F.relu(norm(conv(x)), inplace=True))

    def forward(self, x):
        skips = []
        for suffix in ("1", "2", "3", "4"):
            x = self.level(suffix, x)
            skips.append(x)
        skips.pop()
        for suffix in ("4_tr", "3_tr", "2_tr"):
            skip = skips.pop()
            x = self.level(suffix, x)[:, :, :skip.shape[2], :skip.shape[3]]  # it has 2n + 1 rows
            x = torch.cat((x, skip), 1)
        return normalize(self.final(F.relu(self.conv1_tr(x), inplace=True)), 1)


# ---- Loss and matcher: ucn/loss.cpp, ucn/matcher.cpp

POS_THRESH, NEG_THRESH, RADIUS = 0.1, 1.4, 4


@torch.no_grad()
def nearest(queries, database):
    """For each row of queries the nearest row of database and its squared distance. At most 2 GiB
    of the product lie in memory; |q|^2 changes no order, so the largest qd - |d|^2 / 2 wins."""
    bias, columns = database.square().sum(1) / -2, database.t()
    rows = max(1, 2**29 // len(database))
    index = torch.cat([torch.addmm(bias, q, columns).argmax(1) for q in queries.split(rows)])
    return index, (queries - database[index]).square().sum(1)


def rows_of(features):
    """1 x C x H x W, channels-last, as H W x C, without a copy."""
    return features[0].permute(1, 2, 0).reshape(-1, features.shape[1])


def features_at(features, positions):
    """Features at K x 2 positions (x, y), interpolated and of unit length."""
    height, width = features.shape[2:]
    low = positions.floor()
    fx, fy = (positions - low).to(features.dtype)[:, :, None].unbind(1)
    x, y = low.long().unbind(1)
    right, top = (x + 1).clamp(max=width - 1), y * width
    bottom = (y + 1).clamp(max=height - 1) * width
    corners = torch.cat((top + x, top + right, bottom + x, bottom + right))
    a, b, c, d = rows_of(features).index_select(0, corners).chunk(4)  # one gather: one scatter back
    return normalize((1 - fy) * ((1 - fx) * a + fx * b) + fy * ((1 - fx) * c + fx * d), 1)


def mined_cost(anchors, features, pixels, truth):
    """Mean cost of the hardest negatives among the drawn pixels; 0 if all lie at the true match."""
    width, rows = features.shape[3], rows_of(features)
    with torch.no_grad():
        hardest = pixels[nearest(anchors, rows.index_select(0, pixels))[0]]
        places = torch.stack((hardest % width, hardest // width), 1)
        far = ((places - truth).square().sum(1) > RADIUS**2).to(anchors.dtype)
    d2 = (anchors - rows.index_select(0, hardest)).square().sum(1)
    return (F.relu(NEG_THRESH - d2).square() * far).sum() / far.sum().clamp(min=1)


def hardest_contrastive(f0, f1, positions0, positions1, chosen, pixels0, pixels1):
    """Of one pair; chosen: the positives whose negatives are mined among the pixels."""
    p0, p1 = features_at(f0, positions0), features_at(f1, positions1)
    positive = F.relu((p0 - p1).square().sum(1) - POS_THRESH).mean()
    in1 = mined_cost(p0.index_select(0, chosen), f1, pixels1, positions1[chosen])
    in0 = mined_cost(p1.index_select(0, chosen), f0, pixels0, positions0[chosen])
    return positive + (in1 + in0) / 2


@torch.no_grad()
def match_all(f0, f1, width):
    """The matcher's all_all: every pixel with every pixel, and back from each match; features are
    H W x C. Ends, scores, and whether the way back ends where it began."""
    end, d2 = nearest(f0, f1)
    back, _ = nearest(f1[end], f0)
    start = torch.arange(len(f0), device=f0.device)
    moved2 = (back % width - start % width).square() + (back // width - start // width).square()
    return end, 1 - d2 / 2, moved2 < RADIUS**2


# ---- Timing


class Bench:
    def __init__(self, args, about):
        self.args, self.cuda = args, args.device == "cuda"
        self.precisions = ["fp32", "tf32", "bf16"] if self.cuda else ["fp32", "bf16"]
        self.modes = [EAGER, TUNED, GRAPHS] if self.cuda else [EAGER, TUNED]
        self.report = {**about, "model": args.model, "rows": []}

    def row(self, name, precision, mode, prepare):
        """prepare() makes what a run needs and gives the run. Compiling, choosing algorithms and
        recording graphs happen in runs that are not counted. A run may give a loss: it must be
        finite."""
        if self.args.only not in f"{name} {precision} {mode}":
            return
        torch.manual_seed(0)
        torch.set_float32_matmul_precision("highest" if precision == "fp32" else "high")
        torch.backends.cudnn.allow_tf32 = precision != "fp32"
        torch._dynamo.utils.counters.clear()
        seconds = peak = note = run = result = None
        try:
            run = prepare()
            self.time(run, 4 if self.cuda else 1)
            if self.cuda:
                torch.cuda.reset_peak_memory_stats()
            times = [self.time(run, self.args.burst) for _ in range(self.args.repeat)]
            if self.cuda:
                graphs = mode == GRAPHS
                peak = torch.cuda.memory_reserved() if graphs else torch.cuda.max_memory_allocated()
            result = run()
            if getattr(result, "shape", None) == () and not math.isfinite(result):
                raise ArithmeticError(f"the loss is {result.item()}")
            seconds = statistics.median(times)
            if torch._dynamo.utils.counters["inductor"]["cudagraph_skips"]:
                note = "torch.compile did without a CUDA graph"
        except Exception as e:  # whatever it is, the other rows go on
            text = " ".join(f"{type(e).__name__}: {e}".split())
            note, peak = "out of memory" if "out of memory" in text else text[:200], None
        run = result = None  # their memory is the next row's
        torch.compiler.reset()
        gc.collect()
        if self.cuda:
            torch.cuda.empty_cache()
        self.report["rows"].append({"name": name, "precision": precision, "mode": mode,
                                    "seconds": seconds, "peak_bytes": peak, "note": note})
        print(f"{name:<58} {precision:<4} {mode:<26}",
              f"{1e3 * seconds:10.3f} ms" if seconds is not None else f"{'-':>13}",
              f"{peak / 2**20:8.0f} MiB" if peak is not None else "", note or "", flush=True)
        if self.args.json:  # after each row: a run that is cut short leaves what it has
            with open(self.args.json, "w") as f:
                f.write(json.dumps(self.report, indent=2) + "\n")

    def time(self, run, times):
        """Seconds of one run, the mean of so many between two synchronisations."""
        synchronize = torch.cuda.synchronize if self.cuda else lambda: None
        synchronize()
        begin = time.perf_counter()
        for _ in range(times):
            torch.compiler.cudagraph_mark_step_begin()
            run()  # what it gives goes at once, so that there is never more than one result
        synchronize()
        return (time.perf_counter() - begin) / times

    def tensor(self, *shape, dtype=torch.float32):
        """Noise in [-0.5, 0.5); four axes are N x C x H x W in channels-last order."""
        t = torch.rand(shape, device=self.args.device).sub_(0.5).to(dtype)
        return t.to(memory_format=torch.channels_last) if len(shape) == 4 else t

    def network(self, precision, mode, train):
        """The module, and a function that runs it in this precision and mode."""
        module = ResUNet(self.args.model).to(self.args.device, memory_format=torch.channels_last)
        call = in_mode(module.train(train), mode)

        def run(x):
            with torch.autocast(self.args.device, torch.bfloat16, enabled=precision == "bf16"):
                return call(x)
        return module, run

    # The kinds of rows.

    def forward(self, h, w, batch, precision, mode):
        def prepare():
            net = self.network(precision, mode, train=False)[1]
            image = self.tensor(batch, 1, h, w)
            return torch.no_grad()(lambda: net(image))
        self.row(f"forward {h}x{w} batch {batch}", precision, mode, prepare)

    def train(self, h, w, precision, mode):
        def prepare():
            module, net = self.network(precision, mode, train=True)
            parameters = list(module.parameters())
            optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=1e-4, fused=self.cuda)
            image0, image1 = self.tensor(1, 1, h, w), self.tensor(1, 1, h, w)
            size = torch.tensor([w - 1, h - 1], device=self.args.device)
            positions = torch.rand(2048, 2, device=self.args.device) * size

            def draw(n, k):
                return torch.randperm(n, device=self.args.device)[:k]

            def run():
                optimizer.zero_grad(set_to_none=True)
                f0, f1 = net(image0), net(image1)  # in turn, as the trainer runs them
                loss = hardest_contrastive(f0, f1, positions, positions, draw(len(positions), 1024),
                                           draw(h * w, 40000), draw(h * w, 40000))
                loss.backward()
                nn.utils.clip_grad_norm_(parameters, 1.0)
                optimizer.step()
                return loss.detach()
            return run
        self.row(f"training step, a pair of {h}x{w}", precision, mode, prepare)

    def match(self, h, w, precision):
        def prepare():
            f0, f1 = (normalize(self.tensor(h * w, 64), 1) for _ in range(2))
            return lambda: match_all(f0, f1, w)
        self.row(f"match {h}x{w}, 64 features, mode all_all", precision, EAGER, prepare)

    def operation(self, name, precision, mode, shapes, make):
        """make(*operands) gives the operation as a function of no arguments. Vectors are a layer's
        parameters and remain float32."""
        def prepare():
            dtype = torch.bfloat16 if precision == "bf16" else torch.float32
            types = [dtype if len(s) > 1 else torch.float32 for s in shapes]
            operands = [self.tensor(*s, dtype=t) for s, t in zip(shapes, types)]
            return make(*operands)
        self.row(name, precision, mode, prepare)


def in_mode(f, mode):
    return f if mode == EAGER else torch.compile(f, mode=mode, dynamic=False)


def conv2d_gradient(*wanted):
    """Of the data, of the weights."""
    def make(x, w, dy):
        return lambda: torch.ops.aten.convolution_backward(
            dy, x, w, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [*wanted, False])
    return make


def layer(f, backward):
    """What training does with f of the operands after the first, dy: forward, or there and back."""
    def make(dy, *operands):
        for x in operands:
            x.requires_grad_()
        if backward:
            return lambda: torch.autograd.grad(f(*operands), operands, dy)
        return lambda: f(*operands)
    return make


def batch_norm_relu(x, weight, bias):
    return F.relu(F.batch_norm(x, None, None, weight, bias, training=True), inplace=True)


def operations(bench, h, w):
    for scale, n_in, n_out in ((1, 1, 16), (1, 16, 16), (1, 32, 32), (1, 128, 128), (2, 32, 32),
                               (2, 64, 64), (2, 128, 128), (4, 64, 64), (4, 128, 128),
                               (8, 128, 128), (8, 256, 256)):
        hs, ws = -(-h // scale), -(-w // scale)
        name = f"conv2d 3x3 {n_in}->{n_out} at {hs}x{ws}"
        shapes = [(1, n_in, hs, ws), (n_out, n_in, 3, 3), (1, n_out, hs, ws)]
        for p in bench.precisions:
            bench.operation(name, p, EAGER, shapes,
                            lambda x, w, _: lambda: F.conv2d(x, w, padding=1))
            for gradient, wanted in (("data", (True, False)), ("weight", (False, True))):
                bench.operation(f"{name}, {gradient} gradient", p, EAGER, shapes,
                                conv2d_gradient(*wanted))
    for p in [p for p in bench.precisions if p != "tf32"]:  # of what has no products
        layers = [(f"batch norm + relu {h}x{w}x{c}, training", batch_norm_relu,
                   [(1, c, h, w), (1, c, h, w), (c,), (c,)]) for c in (16, 128)]
        layers.append((f"l2 normalize {h}x{w}x64", lambda x: normalize(x, 1, x.dtype),
                       [(h * w, 64)] * 2))
        for (name, f, shapes), mode in product(layers, (EAGER, TUNED)):
            bench.operation(f"{name}, forward", p, mode, shapes, layer(in_mode(f, mode), False))
            bench.operation(f"{name}, forward and backward", p, mode, shapes,
                            layer(in_mode(f, mode), True))
        for c in (16, 128):
            images = [(1, c, h, w)] * 2
            bench.operation(f"add {h}x{w}x{c}", p, EAGER, images, lambda x, y: lambda: x + y)
            bench.operation(f"relu {h}x{w}x{c}", p, EAGER, images[:1], lambda x: lambda: F.relu(x))
    for p in [p for p in bench.precisions if p != "bf16"]:
        bench.operation(f"nearest 2000 x {h * w} x 64", p, EAGER, [(2000, 64), (h * w, 64)],
                        lambda q, d: lambda: nearest(q, d))
    bench.operation("copy 1 GiB", "fp32", EAGER, [(2**28,)] * 2, lambda x, y: lambda: y.copy_(x))
    for p in bench.precisions:
        bench.operation("matmul 8192x8192x8192", p, EAGER, [(8192, 8192)] * 2,
                        lambda x, y: lambda: x @ y)


def size_of(text):
    h, w = (int(n) for n in text.split("x"))
    return h, w


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--device", choices=["cuda", "cpu"], default="cuda")
    add("--json", metavar="FILE", help="also write the rows to this file")
    add("--model", choices=VARIANTS, default="ResUNetBN2D2", metavar="NAME", help="the network")
    add("--only", default="", metavar="TEXT",
        help='only rows whose name, precision and mode, "match ... all_all tf32 eager", hold this')
    add("--repeat", type=int, default=20, metavar="N", help="timings, of which the median counts")
    add("--burst", type=int, default=1, metavar="N", help="runs in a timing: the mean counts")
    add("--size", type=size_of, metavar="HxW", help="instead of 480x640 and 1200x1600")
    args = parser.parse_args()
    if min(args.repeat, args.burst) < 1:
        parser.error("--repeat and --burst must be at least 1")
    if args.device == "cuda" and not torch.cuda.is_available():
        sys.exit(f"torch_peer: PyTorch {torch.__version__} finds no CUDA device")
    torch.backends.cudnn.benchmark = True
    about = {"device": "cpu", "torch": torch.__version__}
    if args.device == "cuda":
        about = {"device": torch.cuda.get_device_name(), "torch": torch.__version__,
                 "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    bench = Bench(args, about)
    sizes = [args.size] if args.size else [(480, 640), (1200, 1600)]
    for size, batch, precision, mode in product(sizes, (1, 8), bench.precisions, bench.modes):
        bench.forward(*size, batch, precision, mode)
    for precision, mode in product(bench.precisions, bench.modes):
        bench.train(*sizes[0], precision, mode)
    for precision in bench.precisions:
        if precision != "bf16":
            bench.match(*sizes[0], precision)
    operations(bench, *sizes[0])
    if not bench.report["rows"]:
        sys.exit(f"torch_peer: no row's name, precision and mode hold '{args.only}'")


if __name__ == "__main__":
    main()
