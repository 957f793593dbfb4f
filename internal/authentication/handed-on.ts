// A header block as it is handed on below our trace header (RFC 8601 5, RFC 5321 4.4): what claims to be ours and is not is renamed,
// an earlier Return-Path is left out. The stored bytes are never touched.

/** Past so many octets of header block the rest is handed on as it is. */
const HEADER_BYTES_MAX = 1024 * 1024

/** The octets of a message with its header block so changed. */
export async function* handedOn(
  octets: AsyncIterable<Uint8Array>,
  authservId: string,
): AsyncGenerator<Uint8Array, void> {
  let pieces: Buffer[] | undefined = []
  let bytes = 0
  for await (const chunk of octets) {
    if (pieces === undefined) {
      yield chunk
      continue
    }
    pieces.push(Buffer.from(chunk))
    bytes += chunk.length
    const seam = Buffer.concat(pieces.slice(-2))
    if (!/\n\r?\n/.test(seam.toString('latin1')) && bytes < HEADER_BYTES_MAX) continue
    yield changed(Buffer.concat(pieces), authservId)
    pieces = undefined
  }
  if (pieces !== undefined) yield changed(Buffer.concat(pieces), authservId)
}

function changed(start: Buffer, authservId: string): Buffer {
  const text = start.toString('latin1')
  const end = /^\r?\n|\n\r?\n/.exec(text)?.index ?? text.length
  const fields = text.slice(0, end + 1).split(/(?<=\n)(?![ \t])/)
  // What continues nothing would continue our own last field.
  const opening = /^[ \t]/.test(text) ? '\r\n' : ''
  return Buffer.from(
    opening + fields.map((field) => handedField(field, authservId)).join('') + text.slice(end + 1),
    'latin1',
  )
}

const RESULTS = /^authentication-results[ \t]*:/i
const RETURN_PATH = /^return-path[ \t]*:/i

function handedField(field: string, authservId: string): string {
  if (RETURN_PATH.test(field)) return ''
  return RESULTS.test(field) && claimed(field) === authservId.toLowerCase() ? `Original-${field}` : field
}

/** The authserv-id of a field (RFC 8601 2.2), in lower case; comments are passed over, quotes taken off. */
function claimed(field: string): string {
  let rest = field.slice(field.indexOf(':') + 1)
  for (let before = ''; before !== rest;) {
    before = rest
    rest = rest.trimStart().replace(/^\((?:[^()\\]|\\.|\((?:[^()\\]|\\.)*\))*\)/s, '')
  }
  const [, quoted, token] = /^(?:"((?:[^"\\]|\\.)*)"|([^\s;()"]+))/s.exec(rest) ?? []
  return (quoted?.replaceAll(/\\(.)/gs, '$1') ?? token ?? '').toLowerCase()
}
