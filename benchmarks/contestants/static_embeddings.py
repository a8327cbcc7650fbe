"""An embedding model on loopback, as any OpenAI-compatible endpoint would serve it.

WordLlama: static word vectors (256 numbers, 16 MB) that come inside its PyPI wheel, averaged over a
text. A small model: it knows words that are alike, and nothing of their order.

    python static_embeddings.py     # prints its port, serves until its stdin closes
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import wordllama
from wordllama import WordLlama

HERE = Path(wordllama.__file__).parent
MODEL = WordLlama.load(cache_dir=HERE, disable_download=True)


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
        vectors = MODEL.embed(texts, norm=True).tolist()
        data = [
            {"object": "embedding", "index": n, "embedding": vector}
            for n, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": 0, "total_tokens": 0}
        body = json.dumps(
            {"object": "list", "model": "wordllama", "data": data, "usage": usage}
        ).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Silent."""


server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
