"""What lm-evaluation-harness does on the CPU: the peer of `lyceum eval --task`.

usage: lm_eval.py MODEL TASK [--dtype bf16|f32] [--batch N|auto] [--threads N]

TASK is a task file. Prints one JSON line: how many log-likelihoods or texts there are, and the seconds that they take,
tokenizing included, the load of the model not. Needs PyPI lm_eval, torch and transformers.
"""
import argparse
import json
import os
import pathlib
import sys
import time

# The folder of this script has another's name in it.
sys.path = [path for path in sys.path if pathlib.Path(path or ".").resolve() != pathlib.Path(__file__).resolve().parent]

os.environ["HF_HUB_OFFLINE"] = "1"


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model")
    p.add_argument("task", type=pathlib.Path)
    p.add_argument("--dtype", default="bf16", choices=["bf16", "f32"])
    p.add_argument("--batch", default="8")
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    model, task = os.path.abspath(a.model), a.task.resolve()
    os.chdir(task.parent)

    import torch
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    torch.set_num_threads(a.threads)
    dtype = {"bf16": "bfloat16", "f32": "float32"}[a.dtype]
    batch = a.batch if a.batch == "auto" else int(a.batch)
    lm = HFLM(pretrained=model, device="cpu", dtype=dtype, batch_size=batch, max_batch_size=64)
    found = TaskManager(include_path=str(task.parent), include_defaults=False).load([task.stem])
    found = found["tasks"][task.stem] if "tasks" in found else found[task.stem]
    found.build_all_requests(rank=0, world_size=1)
    writes = found.OUTPUT_TYPE == "generate_until"
    with torch.inference_mode():
        began = time.perf_counter()
        said = (lm.generate_until if writes else lm.loglikelihood)(found.instances, disable_tqdm=True)
        seconds = time.perf_counter() - began
    told = {"chars": sum(map(len, said))} if writes else {"sum": sum(each[0] for each in said)}
    print(json.dumps({"n": len(said), "seconds": seconds, **told}))


main()
