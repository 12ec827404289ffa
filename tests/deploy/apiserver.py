"""As much of a Kubernetes API server as `kubectl create` and `kubectl apply` ask for, on port 8080 of this machine, kubectl's default.

It is strict: an object with a field that its kind does not have is refused, as by `--validate=strict` on a cluster. What was taken can be
read again, so that a second `apply` finds it. The files that it answers by are those of kubernetes-validate.
"""

import json
import re
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import kubernetes_validate

# Group and version, the kind, and how it is called in a path. A PodMonitor is Prometheus Operator's: no schema of it is at hand.
KINDS = [
    ("v1", "ConfigMap", "configmaps", True),
    ("v1", "Namespace", "namespaces", False),
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


class Server(BaseHTTPRequestHandler):
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
        path = self.path.split("?")[0]
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
            self.say(201, told)

    def log_message(self, *_):
        pass


warnings.simplefilter("ignore")
ThreadingHTTPServer(("127.0.0.1", 8080), Server).serve_forever()
