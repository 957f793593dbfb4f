// Signature Version 4 of AWS, as S3 wants it: the headers, the path and the body's SHA-256 are signed, nothing else is.
// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html

import { createHmac, createSecretKey, hash, type KeyObject } from 'node:crypto'

export interface Credentials {
  accessKeyId: string
  secretAccessKey: string
  sessionToken?: string | undefined
}

export interface Signable {
  method: string
  /** As `pathOf` makes it. */
  path: string
  /** Sorted and escaped; empty if there is none. */
  query: string
  /** All headers that are sent, names in lower case, `host` among them. */
  headers: Readonly<Record<string, string>>
  /** Hex SHA-256 of the body. */
  sha256: string
  credentials: Credentials
  region: string
  /** Milliseconds since 1970. */
  at: number
}

/** SHA-256 of no body. */
export const NOTHING_SHA256 = hash('sha256', '')

/** The headers with those that sign them: x-amz-date, x-amz-content-sha256, x-amz-security-token, authorization. */
export function signed({
  method,
  path,
  query,
  headers,
  sha256,
  credentials,
  region,
  at,
}: Signable): Record<string, string> {
  const time = timeOf(at)
  const all: Record<string, string> = { ...headers, 'x-amz-content-sha256': sha256, 'x-amz-date': time }
  if (credentials.sessionToken !== undefined) all['x-amz-security-token'] = credentials.sessionToken
  const names = Object.keys(all).sort()
  const lines = names.map((name) => `${name}:${plain(all[name] ?? '')}\n`).join('')
  const signedNames = names.join(';')
  const scope = `${time.slice(0, 8)}/${region}/s3/aws4_request`
  const canonical = `${method}\n${path}\n${query}\n${lines}\n${signedNames}\n${sha256}`
  const text = `AWS4-HMAC-SHA256\n${time}\n${scope}\n${hash('sha256', canonical)}`
  const signature = createHmac('sha256', keyOf(credentials.secretAccessKey, time.slice(0, 8), region))
    .update(text)
    .digest('hex')
  all['authorization'] =
    `AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}/${scope}, SignedHeaders=${signedNames}, Signature=${signature}`
  return all
}

/** A key as a part of a path. */
export const pathOf = (key: string): string => (/^[\w.~/-]*$/.test(key) ? key : escaped(key).replaceAll('%2F', '/'))

/** All but the unreserved characters (RFC 3986 2.3) escaped. */
export function escaped(text: string): string {
  return encodeURIComponent(text).replaceAll(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
}

const plain = (value: string): string => value.trim().replaceAll(/ {2,}/g, ' ')

/** 20130524T000000Z */
const timeOf = (at: number): string => `${new Date(at).toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`

let last: { secret: string; day: string; region: string; key: KeyObject } | undefined

/** The key of a day, made once for it: it is four HMACs. */
function keyOf(secret: string, day: string, region: string): KeyObject {
  if (last?.secret !== secret || last.day !== day || last.region !== region) {
    let key: Uint8Array = Buffer.from(`AWS4${secret}`)
    for (const part of [day, region, 's3', 'aws4_request']) key = createHmac('sha256', key).update(part).digest()
    last = { secret, day, region, key: createSecretKey(key) }
  }
  return last.key
}
