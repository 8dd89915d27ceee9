"""What llama.cpp (the package xllamacpp) predicts: reads lines of {"model": path, "prompts": [[id, ...], ...]}, and writes a
line for each: {"top": [[[id, log-probability], ...], ...]}, or {"refused": reason}."""

import json
import sys

import xllamacpp


def open_model(path):
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_ctx, params.n_parallel = 512, 1
    params.warmup, params.fit_params, params.verbosity = False, False, -1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    # Keys and values in single precision.
    params.cache_type_k = params.cache_type_v = 0
    return xllamacpp.Server(params)


def most_likely(server, ids):
    asked = {"prompt": ids, "n_predict": 1, "temperature": 0, "n_probs": 8, "cache_prompt": False}
    answer = server.handle_completions(asked)
    candidates = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    return [[candidate["id"], candidate["logprob"]] for candidate in candidates]


for line in sys.stdin:
    request = json.loads(line)
    try:
        server = open_model(request["model"])
        answer = {"top": [most_likely(server, ids) for ids in request["prompts"]]}
    except Exception as error:
        answer = {"refused": str(error)}
    print(json.dumps(answer), flush=True)
