// What an error of the S3 client means: whether the same request may succeed later, as it is.

import { BlobError, type BlobFault } from './fault.ts'

/** By S3's error code, the SDK's error name, or Node's error code. What is not here goes by its status. */
const BY_NAME: Readonly<Record<string, BlobFault>> = {
  // The store got other bytes than were hashed here.
  BadDigest: 'digest',
  XAmzContentSHA256Mismatch: 'digest',
  // 400: our body did not come in time, or its connection broke.
  RequestTimeout: 'timeout',
  IncompleteBody: 'server',
  // 403: the SDK takes the store's time from this answer, so the next request is right.
  RequestTimeTooSkewed: 'server',
  // 403: full, which is the operator's to mend, like a full disk.
  QuotaExceeded: 'server',
  // 404: somebody else ended a multipart upload; the next try begins a new one.
  NoSuchUpload: 'server',
  // 404 of a HEAD for an object that is listed: it came in between.
  NotFound: 'server',
  // 409: another request on the same key at the same time.
  OperationAborted: 'server',
  ConditionalRequestConflict: 'server',
  // Nobody but our own patience aborts a request.
  AbortError: 'timeout',
  TimeoutError: 'timeout',
  ETIMEDOUT: 'timeout',
  ECONNREFUSED: 'server',
  ECONNRESET: 'server',
  EPIPE: 'server',
  ENOTFOUND: 'server',
  EAI_AGAIN: 'server',
  EHOSTUNREACH: 'server',
  ENETUNREACH: 'server',
  CredentialsProviderError: 'client',
  // A fact about the object that no header can carry.
  ERR_INVALID_CHAR: 'client',
}

const BY_STATUS: Readonly<Record<number, BlobFault>> = { 408: 'timeout', 429: 'server', 504: 'timeout' }

/** `error` as a BlobError; `what` is the request, for people. What was not foreseen is `server`: it is tried again. */
export function s3Fault(what: string, error: unknown): BlobError {
  if (error instanceof BlobError) return error
  const { status, names, message } = factsOf(error)
  const fault = names.map((name) => BY_NAME[name]).find((fault) => fault !== undefined) ?? byStatus(status)
  // What the message says already, and how the SDK says that it knows nothing, would only be noise.
  const words = [...names.filter((name) => !message?.includes(name)), message]
  const shown = [status, ...words.filter((word) => word !== undefined && word !== '' && !isNoCode(word))].filter(
    (fact) => fact !== undefined,
  )
  return new BlobError(fault, `${what}: ${shown.join(' ')}`, { cause: error })
}

/** The store says that there is no such object, and not that there is no such bucket. */
export const isMissing = (error: unknown): boolean => factsOf(error).names.includes('NoSuchKey')

/**
 * There may be no such object: a HEAD has no body to say whether the bucket is missing, and who may list only a part of the
 * bucket is told 403 of what is not there.
 */
export function maybeMissing(error: unknown): boolean {
  const { status, names } = factsOf(error)
  return names.includes('NotFound') || names.includes('AccessDenied') || (status === 403 && names.every(isNoCode))
}

/** How the SDK names an error whose answer had no body. */
const isNoCode = (name: string) => /^(403|Forbidden|Unknown(Error)?)$/.test(name)

function byStatus(status: number | undefined): BlobFault {
  if (status === undefined) return 'server'
  return BY_STATUS[status] ?? (status >= 300 && status < 500 ? 'client' : 'server')
}

function factsOf(error: unknown) {
  const { name, code, message, $metadata } = Object(error) as {
    name?: string
    code?: string
    message?: string
    $metadata?: { httpStatusCode?: number }
  }
  const names = [code, name].filter((each): each is string => each !== undefined && each !== 'Error')
  return { status: $metadata?.httpStatusCode, names, message }
}
