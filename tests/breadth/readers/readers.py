"""Independent readers: JSON and forms of the standard library, XML of expat.

A line of JSON comes in ({"format", "charset", "body": base64}), a line goes out: what each reader reads, as
{"reader": [[path, value], ...]}, or {"reader": null} where it reads nothing.
"""

import base64
import json
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree


def flat(value, path, out):
    if isinstance(value, dict):
        for key, inner in value.items():
            flat(inner, path + [key], out)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            flat(inner, path + [str(index)], out)
    elif value is not None:
        if isinstance(value, bool):
            value = "true" if value else "false"
        out.append(["/".join(path), str(value)])


def read_json(body, charset):
    out = []
    # Numbers as their text: how a reader rounds is another matter than which text it reads.
    flat(json.loads(body.decode(charset), parse_int=str, parse_float=str), [], out)
    return out


def read_form(body, charset):
    text = body.decode(charset)
    return [list(pair) for pair in urllib.parse.parse_qsl(text, keep_blank_values=True, encoding=charset, errors="strict")]


def tree(element):
    children = list(element)
    if not children:
        return element.text or ""
    out = {}
    for child in children:
        name = child.tag.rsplit("}", 1)[-1]
        out.setdefault(name, []).append(tree(child))
    return {name: values[0] if len(values) == 1 else values for name, values in out.items()}


def read_xml(body, _charset):
    out = []
    root = tree(ElementTree.fromstring(body))
    flat(root if isinstance(root, dict) else {}, [], out)
    return out


READERS = {
    "json": [("python json", read_json)],
    "form": [("python urllib", read_form)],
    "xml": [("expat", read_xml)],
}

for line in sys.stdin:
    asked = json.loads(line)
    body = base64.b64decode(asked["body"])
    told = {}
    for name, read in READERS[asked["format"]]:
        try:
            told[name] = read(body, asked["charset"])
        except Exception:
            told[name] = None
    print(json.dumps(told), flush=True)
