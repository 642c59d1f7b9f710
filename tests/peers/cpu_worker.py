#!/usr/bin/env python3
"""A peer's side of cpu_peers.py: runs one thing once for each line that comes in and prints "seconds N".

    cpu_worker.py forward MODE WEIGHTS IMAGE HEIGHT WIDTH FEATURES THREADS
    cpu_worker.py step MODE MODEL HEIGHT WIDTH THREADS
    cpu_worker.py nearest MODE QUERIES DATABASE CHANNELS Q.bin D.bin INDEX THREADS
    cpu_worker.py sift MODE PHOTO OCTAVE-LAYERS CONTRAST EDGE MAX-KEYPOINTS THREADS
    cpu_worker.py make MODEL WEIGHTS.safetensors ONNX-FOLDER HEIGHT WIDTH

make draws the weights (with running statistics) and writes them for all, as safetensors and as ONNX.
"""
import sys
import time
from pathlib import Path


def network(weights):
    import torch
    import torch_peer
    from safetensors import safe_open
    with safe_open(weights, "pt") as f:
        net = torch_peer.ResUNet(f.metadata()["model"])
        net.load_state_dict({k: f.get_tensor(k) for k in f.keys()})
    return torch, net.eval()


def forward(mode, weights, image, h, w, threads):
    import numpy as np
    h, w = int(h), int(w)
    pixels = np.fromfile(image, dtype=np.uint8).reshape(1, 1, h, w)
    onnx = Path(weights).with_name(f"{Path(weights).stem}_{h}x{w}.onnx")
    if mode == "onnxruntime":
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(str(onnx), options, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, {"x": pixels.astype(np.float32) / 255 - 0.5})[0]
    if mode == "openvino":
        import openvino
        config = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32",
                  "PERFORMANCE_HINT": "LATENCY"}
        request = openvino.Core().compile_model(str(onnx), "CPU", config).create_infer_request()
        return lambda: next(iter(request.infer([pixels.astype(np.float32) / 255 - 0.5]).values()))
    torch, net = network(weights)
    torch.set_num_threads(threads)
    layout = torch.channels_last if "last" in mode else torch.contiguous_format
    net = net.to(memory_format=layout)

    def image_of():
        return (torch.from_numpy(pixels).float() / 255 - 0.5).to(memory_format=layout)

    with torch.no_grad():
        if mode == "torch jit":
            net = torch.jit.optimize_for_inference(torch.jit.trace(net, image_of()))
        elif "compile" in mode:
            import torch._inductor.config
            torch._inductor.config.freezing = True
            net = torch.compile(net)
    return torch.no_grad()(lambda: net(image_of()).numpy())


def step(mode, model, h, w, threads):
    import torch
    import torch_peer as peer
    torch.set_num_threads(threads)
    h, w = int(h), int(w)
    torch.manual_seed(0)
    net = peer.ResUNet(model).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-4, fused=True)
    images = [(torch.rand(1, 1, h, w) - 0.5).to(memory_format=torch.channels_last) for _ in range(2)]
    positions = torch.rand(2048, 2) * torch.tensor([w - 1.0, h - 1.0])
    call = torch.compile(net) if "compile" in mode else net

    def run():
        optimizer.zero_grad(set_to_none=True)
        f0, f1 = call(images[0]), call(images[1])
        pixels = [torch.randperm(h * w)[:40000] for _ in range(2)]
        chosen = torch.randperm(2048)[:1024]
        loss = peer.hardest_contrastive(f0, f1, positions, positions, chosen, *pixels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        return loss.item()
    return run


def nearest(mode, q, d, c, queries, database, threads):
    import numpy as np
    a = np.fromfile(queries, dtype=np.float32).reshape(int(q), int(c))
    b = np.fromfile(database, dtype=np.float32).reshape(int(d), int(c))
    if mode == "faiss":
        import faiss
        faiss.omp_set_num_threads(threads)

        def run():
            index = faiss.IndexFlatL2(int(c))
            index.add(b)
            return index.search(a, 1)[1][:, 0]
        return run
    import torch
    import torch_peer as peer
    torch.set_num_threads(threads)
    return lambda: peer.nearest(torch.from_numpy(a), torch.from_numpy(b))[0].numpy()


def sift(mode, photo, layers, contrast, edge, most, threads):
    import cv2
    cv2.setNumThreads(threads)
    gray = cv2.imread(photo, cv2.IMREAD_GRAYSCALE)
    find = cv2.SIFT_create(int(most), int(layers), float(contrast), float(edge))
    return lambda: find.detectAndCompute(gray, None)


def make(model, weights, folder, h, w):
    import torch
    import torch_peer
    from safetensors.torch import save_file
    weights = Path(weights)
    if not weights.exists():
        torch.manual_seed(0)
        net = torch_peer.ResUNet(model)
        for m in net.modules():
            if isinstance(m, torch.nn.BatchNorm2d):  # as if it had been trained
                m.running_mean.uniform_(-0.1, 0.1)
                m.running_var.uniform_(0.5, 1.5)
                m.weight.data.uniform_(0.8, 1.2)
                m.bias.data.uniform_(-0.1, 0.1)
        save_file(net.state_dict(), weights,
                  {"format": "cairn-weights-1", "model": model, "inputs": "1", "outputs": "64",
                   "normalize": "true", "statistics": "running"})
    _, net = network(weights)
    file = Path(folder) / f"{weights.stem}_{h}x{w}.onnx"
    torch.onnx.export(net, torch.zeros(1, 1, int(h), int(w)), str(file), input_names=["x"],
                      dynamo=False, opset_version=17)


def main():
    sys.path.insert(0, str(Path(__file__).parent))
    what, *args = sys.argv[1:]
    if what == "make":
        return make(*args)
    result = None
    if what == "forward":
        run = forward(*args[:5], int(args[6]))
    elif what == "step":
        run = step(*args[:4], int(args[4]))
    elif what == "sift":
        run = sift(*args[:6], int(args[6]))
    else:
        run = nearest(*args[:6], int(args[7]))
    for _ in sys.stdin:
        begin = time.perf_counter()
        result = run()
        print(f"seconds {time.perf_counter() - begin:.9f}", flush=True)
    if what == "forward":
        result[0].transpose(1, 2, 0).tofile(args[5])
    elif what == "nearest":
        result.astype("int64").tofile(args[6])


main()
