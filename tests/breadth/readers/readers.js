// Independent readers: JSON.parse, URLSearchParams and the older querystring. See readers.py for the lines in and out.
const querystring = require("querystring");
const lines = require("readline").createInterface({ input: process.stdin });

function flat(value, path, out) {
  if (Array.isArray(value)) value.forEach((inner, index) => flat(inner, [...path, String(index)], out));
  else if (value !== null && typeof value === "object")
    for (const key of Object.keys(value)) flat(value[key], [...path, key], out);
  else if (value !== null) out.push([path.join("/"), String(value)]);
  return out;
}

const readers = {
  json: { "node JSON": (text) => flat(JSON.parse(text), [], []) },
  form: {
    "node URLSearchParams": (text) => [...new URLSearchParams(text)],
    "node querystring": (text) =>
      Object.entries(querystring.parse(text, "&", "=", { maxKeys: 0 })).flatMap(([key, value]) =>
        (Array.isArray(value) ? value : [value]).map((one) => [key, one]),
      ),
  },
  xml: {},
};

lines.on("line", (line) => {
  const { format, charset, body } = JSON.parse(line);
  const told = {};
  for (const [name, read] of Object.entries(readers[format])) {
    if (charset !== "utf-8") continue; // These know no other.
    try {
      told[name] = read(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.from(body, "base64")));
    } catch {
      told[name] = null;
    }
  }
  console.log(JSON.stringify(told));
});
