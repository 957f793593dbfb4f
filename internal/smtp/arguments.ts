// The arguments of MAIL and RCPT (RFC 5321 4.1.1.2, 4.1.1.3, 4.1.2): a path in brackets, then parameters.

/** Path without its brackets, and ESMTP parameters by upper-case keyword; `true` where no value was given. */
export interface AddressArgument {
  path: string
  parameters: Map<string, string | true>
}

export type ArgumentFault = 'bad_argument' | 'bad_parameter' | 'bad_encoding'

// Inside quotes a bracket and a blank are part of the path. Blanks after the colon are an error of many clients that harms nobody.
const COMMAND = /^(?:MAIL +FROM|RCPT +TO): *<((?:[^<>"\s]|"(?:[^"\\]|\\.)*")*)>( .*)?$/iu
const PARAMETER = /^([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~]+))?$/ // RFC 5321 4.1.2 esmtp-param

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** A command line as text; undefined where it is not UTF-8 (RFC 6531 3.3). */
export function commandText(line: Buffer): string | undefined {
  try {
    return strict.decode(line)
  } catch {
    return undefined
  }
}

export const isAscii = (text: string): boolean => /^[\0-\x7f]*$/.test(text)

/** Takes `MAIL FROM:<path> parameters` apart. A keyword given twice is a fault. */
export function addressArgument(command: string): AddressArgument | ArgumentFault {
  const match = COMMAND.exec(command)
  if (match === null) return 'bad_argument'
  // RFC 6531 3.3 allows UTF-8 in addresses, and nothing allows it in parameters.
  if (!isAscii(match[2] ?? '')) return 'bad_encoding'
  const parameters = new Map<string, string | true>()
  for (const word of (match[2] ?? '').split(/ +/).filter((each) => each !== '')) {
    const [, keyword, value] = PARAMETER.exec(word) ?? []
    if (keyword === undefined || parameters.has(keyword.toUpperCase())) return 'bad_parameter'
    parameters.set(keyword.toUpperCase(), value ?? true)
  }
  return { path: match[1] ?? '', parameters }
}

export interface MailParameters {
  /** RFC 1870 5, octets. */
  size: number | undefined
  /** RFC 6152 2. */
  bodyType: '7BIT' | '8BITMIME'
  smtpUtf8: boolean
}

export type ParameterFault = 'bad_parameter' | 'unknown_parameter' | 'tls_required'

/** Parameters of MAIL. After HELO there are none (RFC 5321 4.1.1.11: only what EHLO announced). */
export function mailParameters(
  given: AddressArgument['parameters'],
  { extended, authenticated }: { extended: boolean; authenticated: boolean },
): MailParameters | ParameterFault {
  const result: MailParameters = { size: undefined, bodyType: '7BIT', smtpUtf8: false }
  for (const [keyword, value] of given) {
    // RFC 4954 5: who may use AUTH may say on whose behalf; we pass mail on to nobody, so nobody asks.
    if (keyword === 'AUTH' && authenticated && value !== true) continue
    const fault = extended ? takeMailParameter(result, keyword, value) : 'unknown_parameter'
    if (fault !== undefined) return fault
  }
  return result
}

function takeMailParameter(into: MailParameters, keyword: string, value: string | true): ParameterFault | undefined {
  switch (keyword) {
    case 'SIZE':
      if (value === true || !/^\d{1,20}$/.test(value)) return 'bad_parameter'
      into.size = Number(value)
      return undefined
    case 'BODY':
      return takeBody(into, value)
    case 'SMTPUTF8':
      if (value !== true) return 'bad_parameter'
      into.smtpUtf8 = true
      return undefined
    case 'REQUIRETLS': // Not announced, and a client that asks all the same must not be told less (RFC 8689 5).
      return 'tls_required'
    default:
      return 'unknown_parameter'
  }
}

function takeBody(into: MailParameters, value: string | true): ParameterFault | undefined {
  const body = value === true ? '' : value.toUpperCase()
  // RFC 3030 3: an extension of its own, which is not announced.
  if (body === 'BINARYMIME') return 'unknown_parameter'
  if (body !== '7BIT' && body !== '8BITMIME') return 'bad_parameter'
  into.bodyType = body
  return undefined
}

/** One chunk of BDAT (RFC 3030 2). */
export interface Chunk {
  octets: number
  last: boolean
}

/** `<octets> [LAST]`; undefined where it is anything else. */
export function chunkArgument(argument: string): Chunk | undefined {
  const [, octets, last] = /^(\d{1,15})( +LAST)?$/i.exec(argument) ?? []
  return octets === undefined ? undefined : { octets: Number(octets), last: last !== undefined }
}
