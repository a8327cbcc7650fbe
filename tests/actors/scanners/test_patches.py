"""Patches with a hole are blocked by what scanners alone are sure of; like ones without are not."""

import pytest

from actors.sandbox.protocol import Sandbox
from actors.scanners.flow import follow
from actors.security import CERTAIN
from orchestration.proof import Finding
from tests.actors.scanners.test_scan import all_lines, scanned

KEY = "-----BEGIN RSA PRIVATE KEY-----"
AWS = "AKIA" + "IOSFODNN7EXAMPLQ"
HOLES = {
    "an SQL injection": (
        "src/a.py",
        "def show(c):\n    n = request.args['n']\n"
        "    c.execute(f'SELECT * FROM t WHERE n = {n}')\n",
    ),
    "an SQL injection in a script": (
        "src/a.js",
        "app.get('/', (req, res) => {\n  const { id } = req.query;\n"
        "  db.query('SELECT * FROM t WHERE id = ' + id);\n});\n",
    ),
    "an SQL injection in Go": (
        "a.go",
        'func h(r *http.Request) {\n\tname := r.FormValue("name")\n'
        '\tdb.Query("SELECT * FROM t WHERE n = \'" + name + "\'")\n}\n',
    ),
    "a command injection": (
        "src/a.py",
        "import subprocess\ndef ping(host):\n    subprocess.run('ping ' + host, shell=True)\n",
    ),
    "a command injection in a script": (
        "src/a.ts",
        "const host = req.body.host;\nexec(`ping ${host}`);\n",
    ),
    "a path traversal": (
        "src/a.py",
        "import os\ndef get():\n    name = request.args.get('f')\n"
        "    path = os.path.join(ROOT, name)\n    return send_file(path)\n",
    ),
    "a path traversal in a script": (
        "src/a.js",
        "const file = req.params.file;\nres.sendFile('/srv/' + file);\n",
    ),
    "a leaked key": ("src/a.py", f"KEY = '{AWS}'\n"),
    "a leaked private key": ("deploy/key.txt", f"{KEY}\nMIIEowIBAAKCAQEA\n"),
    "unsafe deserialisation": (
        "src/a.py", "import pickle\ndef load(b):\n    return pickle.loads(b)\n",
    ),
    "unsafe YAML": ("src/a.py", "import yaml\ndef load(b):\n    return yaml.load(b)\n"),
    "a disabled TLS check": (
        "src/a.py",
        "import requests\ndef get(u):\n    return requests.get(u, verify=False, timeout=5)\n",
    ),
    "a disabled TLS check in a script": (
        "src/a.js", "const agent = new https.Agent({ rejectUnauthorized: false });\n",
    ),
    "code from a request": ("src/a.py", "def f():\n    return eval(request.args['x'])\n"),
    "a forged request": (
        "src/a.py",
        "import requests\ndef f():\n    url = request.json['url']\n"
        "    return requests.get(url, timeout=5)\n",
    ),
    "an unsigned token": (
        "src/a.py", "import jwt\ndef f(t):\n"
        "    return jwt.decode(t, options={'verify_signature': False})\n",
    ),
    "an archive let loose": (
        "src/a.py", "import tarfile\ndef f(x):\n    tarfile.open(x).extractall('/srv')\n",
    ),
    "a download that is run": ("install.sh", "curl -s https://x.example/i.sh | sh\n"),
}  # fmt: skip
SOUND = {
    "a parameter": (
        "src/a.py",
        "def show(c):\n    n = request.args['n']\n"
        "    c.execute('SELECT * FROM t WHERE n = ?', (n,))\n",
    ),
    "a parameter in a script": (
        "src/a.js",
        "const { id } = req.query;\ndb.query('SELECT * FROM t WHERE id = $1', [id]);\n",
    ),
    "a parameter in Go": (
        "a.go", 'name := r.FormValue("name")\ndb.Query("SELECT * FROM t WHERE n = ?", name)\n',
    ),
    "a fixed command": (
        "src/a.py", "import subprocess\ndef f():\n    subprocess.run(['git', 'log'], check=True)\n",
    ),
    "the last part of a path": (
        "src/a.py",
        "def get():\n    name = secure_filename(request.args.get('f'))\n"
        "    return send_file(ROOT / name)\n",
    ),
    "a number": (
        "src/a.py",
        "def show(c):\n    n = int(request.args['n'])\n    c.execute(f'SELECT {n}')  # a number\n",
    ),
    "a key from outside": ("src/a.py", "import os\nKEY = os.environ['AWS_ACCESS_KEY_ID']\n"),
    "JSON": ("src/a.py", "import json\ndef load(b):\n    return json.loads(b)\n"),
    "safe YAML": ("src/a.py", "import yaml\ndef load(b):\n    return yaml.safe_load(b)\n"),
    "TLS as it is": (
        "src/a.py", "import requests\ndef get(u):\n    return requests.get(u, timeout=5)\n",
    ),
    "text as text": ("src/a.js", "title.textContent = req.query.title;\n"),
    "a literal": ("src/a.py", "import ast\ndef f(x):\n    return ast.literal_eval(x)\n"),
    "a name like another's": (
        "src/a.py", "def f(order):\n    path = order.path\n    return open_order(path)\n",
    ),
    "a name used anew": (
        "src/a.py",
        "def f():\n    name = request.args['n']\n    name = 'fixed'\n    return open(name)\n",
    ),
    "a filtered archive": (
        "src/a.py",
        "import tarfile\ndef f(x):\n    tarfile.open(x).extractall('/srv', filter='data')\n",
    ),
    "a test of a hole": ("tests/test_a.py", "def test_a(c):\n    c.get('/?f=../../etc/passwd')\n"),
}  # fmt: skip


def placed(table: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """Every patch in a directory of its own."""
    return {
        f"p{number}/{path}": (name, text)
        for number, (name, (path, text)) in enumerate(table.items())
    }


@pytest.mark.slow
async def test_holes_are_blocked_and_sound_code_is_not(sandbox: Sandbox) -> None:
    holes, sound = placed(HOLES), {f"s/{k}": v for k, v in placed(SOUND).items()}
    files = {path: text for path, (_, text) in (holes | sound).items()}
    found = await scanned(sandbox, files)
    blocking: dict[str, list[Finding]] = {}
    for finding in found:
        if finding.severity.rank >= CERTAIN.rank:
            blocking.setdefault(finding.file, []).append(finding)
    assert [name for path, (name, _) in holes.items() if path not in blocking] == []
    assert {name: blocking[p] for p, (name, _) in sound.items() if p in blocking} == {}
    assert all(finding.line for each in blocking.values() for finding in each)


FOLLOWED = [
    ("a.py", ["x = request.args['a']", "y = x.strip()", "os.system(y)"], 3),
    ("a.py", ["os.system(request.form['a'])"], 1),
    ("a.js", ["const { a: b } = req.body", "eval(b)"], 2),
    ("a.py", ["x = request.args['a']", "c.execute('SELECT ' + x)"], 2),
    ("a.py", ["x = request.args['a']", "c.execute('SELECT %s' % x)"], 2),
    ("a.py", ["x = request.args['a']", "c.execute(x)"], 2),
    ("a.py", ["x = request.args['a']", "c.execute('SELECT ?', [x])"], 0),
    ("a.py", ["x = request.args['a']", "x = shlex.quote(x)", "os.system(x)"], 0),
    ("a.py", ["os.system('ls')", "x = request.args['a']"], 0),
    ("a.md", ["os.system(request.args['a'])"], 0),
    ("tests/a.py", ["os.system(request.args['a'])"], 0),
]


@pytest.mark.parametrize(("path", "lines", "line"), FOLLOWED)
def test_text_of_a_request_is_followed(path: str, lines: list[str], line: int) -> None:
    found = follow(all_lines({path: "\n".join(lines)}))
    assert [finding.line for finding in found] == ([line] if line else [])
