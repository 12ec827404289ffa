"""As much of a Kubernetes API server as `kubectl create` and `kubectl apply` ask for, on port 8080 of this machine, kubectl's default.

And as much of a node as `kubectl exec` asks for: of a StatefulSet that is applied Hefu runs, by the ConfigMap and with the Secret that it names,
each path of the pod being one in a folder here. No container does, and nobody's core.

It is strict: an object with a field that its kind does not have is refused, as by `--validate=strict` on a cluster. What was taken can be
read again, so that a second `apply` finds it. The files that it answers by are those of kubernetes-validate.
"""

import base64
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import tempfile
import time
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate

# Group and version, the kind, and how it is called in a path. A PodMonitor is Prometheus Operator's: no schema of it is at hand.
KINDS = [
    ("v1", "ConfigMap", "configmaps", True),
    ("v1", "Namespace", "namespaces", False),
    ("v1", "Pod", "pods", True),
    ("v1", "Secret", "secrets", True),
    ("v1", "Service", "services", True),
    ("v1", "ServiceAccount", "serviceaccounts", True),
    ("apps/v1", "StatefulSet", "statefulsets", True),
    ("monitoring.coreos.com/v1", "PodMonitor", "podmonitors", True),
    ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", True),
    ("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", True),
]
WITHOUT_SCHEMA = ["PodMonitor"]
VERBS = ["create", "delete", "get", "list", "patch", "update"]

kept = {}

# Where the paths of the pod are.
pod = tempfile.mkdtemp()
PATHS = ["/etc/hefu", "/run/hefu", "/run/secrets/hefu", "/var/lib/hefu"]


def root(version):
    return f"/api/{version}" if "/" not in version else f"/apis/{version}"


def described(version):
    """That field validation is to be had of the server, which is what kubectl looks for."""
    paths = {}
    for group_version, kind, plural, namespaced in KINDS:
        if group_version != version:
            continue
        group, _, short = version.rpartition("/")
        place = "/namespaces/{namespace}" if namespaced else ""
        patch = {
            "parameters": [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}],
            "responses": {},
            "x-kubernetes-group-version-kind": {"group": group, "version": short, "kind": kind},
        }
        paths[f"{root(version)}{place}/{plural}/{{name}}"] = {"patch": patch}
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "1"}, "paths": paths}


def discovered(path):
    """What kubectl learns of the server before it sends anything."""
    versions = sorted({version for version, _, _, _ in KINDS})
    if path == "/version":
        return {"major": "1", "minor": "37", "gitVersion": "v1.37.0"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        groups = []
        for version in versions:
            group, _, short = version.rpartition("/")
            if group:
                named = {"groupVersion": version, "version": short}
                groups.append({"name": group, "versions": [named], "preferredVersion": named})
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    if path == "/openapi/v3":
        return {"paths": {root(version)[1:]: {"serverRelativeURL": f"/openapi/v3{root(version)}"} for version in versions}}
    for version in versions:
        if path == f"/openapi/v3{root(version)}":
            return described(version)
        if path == root(version):
            resources = [
                {"name": plural, "singularName": kind.lower(), "namespaced": namespaced, "kind": kind, "verbs": VERBS}
                for group_version, kind, plural, namespaced in KINDS
                if group_version == version
            ]
            return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}
    return None


def wrong(told):
    """Why an object is refused, if it is."""
    if told["kind"] in WITHOUT_SCHEMA:
        return None
    try:
        kubernetes_validate.validate(told, "1.37", strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{'.'.join(map(str, error.path))}: {error.message}"
    return None


def here(text):
    """A text of the pod's, with its paths as they are here."""
    for path in PATHS:
        text = text.replace(path, pod + path)
    return text


def start(workload):
    """Starts Hefu as the first pod of the workload would have it."""
    spec = workload["spec"]["template"]["spec"]
    namespace = workload["metadata"]["namespace"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    sidecar = spec["initContainers"][0]
    for path in PATHS:
        os.makedirs(pod + path, exist_ok=True)
    for folder in ["channels", "codes", "providers"]:
        shutil.copytree(f"config/{folder}", f"{pod}/etc/hefu/{folder}")
    for mount in sidecar["volumeMounts"]:
        volume, place = volumes.get(mount["name"], {}), pod + mount["mountPath"]
        os.makedirs(place, exist_ok=True)
        if "configMap" in volume:
            for name, text in kept[f"/api/v1/namespaces/{namespace}/configmaps/{volume['configMap']['name']}"]["data"].items():
                with open(f"{place}/{name}", "w") as file:
                    file.write(here(text))
                # As the image has it.
                os.symlink(f"site/{name}", f"{pod}/etc/hefu/{name}")
        if "secret" in volume:
            for name, text in kept[f"/api/v1/namespaces/{namespace}/secrets/{volume['secret']['secretName']}"]["data"].items():
                with open(f"{place}/{name}", "wb") as file:
                    file.write(base64.b64decode(text))
    subprocess.Popen(["target/release/hefu", *map(here, sidecar["args"])], stdout=open("pod.log", "w"), stderr=subprocess.STDOUT)
    name = f"{workload['metadata']['name']}-0"
    metadata = {"name": name, "namespace": namespace}
    described = {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec, "status": {"phase": "Running"}}
    kept[f"/api/v1/namespaces/{namespace}/pods/{name}"] = described


def run(command):
    """What a command of the pod prints, and how it ends; it is tried until Hefu is there."""
    program, arguments = f"target/release/{os.path.basename(command[0])}", [here(word) for word in command[1:]]
    # As the image has it.
    environment = {**os.environ, "HEFU_ADMIN": here("unix:/run/hefu/admin.sock")}
    until = time.monotonic() + 60
    while not os.path.exists(f"{pod}/run/hefu/admin.sock") and time.monotonic() < until:
        time.sleep(0.1)
    return subprocess.run([program, *arguments], capture_output=True, env=environment)


class Server(BaseHTTPRequestHandler):
    def execute(self, query):
        """A command within a pod, over a WebSocket: each message is a channel's number and bytes of it."""
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        head = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {accept}"]
        head += ["Sec-WebSocket-Protocol: v5.channel.k8s.io", "", ""]
        self.wfile.write("\r\n".join(head).encode())
        done = run(parse_qs(query)["command"])
        failed = {"status": "Failure", "reason": "NonZeroExitCode", "message": f"command terminated with exit code {done.returncode}"}
        failed["details"] = {"causes": [{"reason": "ExitCode", "message": str(done.returncode)}]}
        status = failed if done.returncode else {"status": "Success"}
        for channel, told in [(1, done.stdout), (2, done.stderr), (3, json.dumps(status).encode())]:
            message = bytes([channel]) + told
            length = len(message)
            self.wfile.write(bytes([0x82, length]) if length < 126 else struct.pack(">BBH", 0x82, 126, length))
            self.wfile.write(message)
        self.wfile.write(b"\x88\x02\x03\xe8")
        self.close_connection = True

    def say(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status, reason, message):
        refusal = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "reason": reason, "message": message}
        self.say(status, refusal)

    def do_GET(self):
        path, query = urlsplit(self.path)[2:4]
        if path.endswith("/exec") and path.removesuffix("/exec") in kept:
            self.execute(query)
            return
        answer = discovered(path) or kept.get(path)
        if answer is None:
            self.refuse(404, "NotFound", "not found")
        else:
            self.say(200, answer)

    def do_POST(self):
        path, _, query = self.path.partition("?")
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        version, kind, plural, namespaced = next(it for it in KINDS if it[0] == told["apiVersion"] and it[1] == told["kind"])
        place = "/namespaces/[a-z]+" if namespaced else ""
        namespace = told["metadata"].get("namespace")
        error = wrong(told)
        if not re.fullmatch(f"{root(version)}{place}/{plural}", path):
            self.refuse(404, "NotFound", "no such place")
        elif namespaced and f"/api/v1/namespaces/{namespace}" not in kept:
            self.refuse(404, "NotFound", f'namespaces "{namespace}" not found')
        elif error and "fieldValidation=Strict" in query:
            self.refuse(422, "Invalid", error)
        else:
            kept[f"{path}/{told['metadata']['name']}"] = told
            if kind == "StatefulSet":
                start(told)
            self.say(201, told)

    def log_message(self, *_):
        pass


warnings.simplefilter("ignore")
ThreadingHTTPServer(("127.0.0.1", 8080), Server).serve_forever()
