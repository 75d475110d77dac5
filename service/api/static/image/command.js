// Writes a request as a curl command that a shell takes as it is.

const FORMATS = { png: "image/png", jpeg: "image/jpeg", webp: "image/webp" };

function quote(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** curl reads `;` and `,` in a file name as its own syntax unless the name stands in double quotes. */
function filePart(name, fileName) {
  const safe = /[;,"\\]/.test(fileName) ? `"${fileName.replace(/[\\"]/g, "\\$&")}"` : fileName;
  return quote(`${name}=@${safe}`);
}

/** The format that results have: as chosen, else as the picture's. */
function formatOf(fields) {
  const [, picture] = fields.find(([name]) => name === "image");
  const likely = /\.(jpe?g|jfif|hei[cf]|avif)$/i.test(picture.name) ? "jpeg" : /\.webp$/i.test(picture.name) ? "webp" : "png";
  return fields.find(([name]) => name === "format")?.[1] ?? likely;
}

function resultName(fields) {
  const [, picture] = fields.find(([name]) => name === "image");
  const format = formatOf(fields);
  const stem = picture.name.replace(/\.[^.]*$/, "") || "picture";
  return `${stem}-stylized.${format === "jpeg" ? "jpg" : format}`;
}

/** fields: [name, value] pairs, a value being a string or a File. One result comes as a picture, several as JSON.
 * keyed: whether a key is needed, which is not shown. */
export function curlCommand(fields, address, keyed = false) {
  const several = fields.some(([name]) => name === "gains_db");
  const format = formatOf(fields);
  const head = several ? "curl -sS -H 'Prefer: wait=60'" : `curl -sS -H 'Accept: ${FORMATS[format]}'`;
  const key = keyed ? ['-H "Authorization: Bearer $ADIS_API_KEY"'] : [];
  const parts = fields.map(([name, value]) =>
    value instanceof Blob && !value.example ? `-F ${filePart(name, value.name)}` : `-F ${quote(value.example ? `${name}_id=${value.example}` : `${name}=${value}`)}`,
  );
  const tail = several ? address : `${address} -o ${quote(resultName(fields))}`;
  return [head, ...key, ...parts, tail].join(" \\\n  ");
}
