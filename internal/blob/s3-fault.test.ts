import { describe, expect, test } from 'vitest'
import { BlobError } from './fault.ts'
import { isMissing, maybeMissing, s3Fault } from './s3-fault.ts'

const answered = (httpStatusCode: number, name = 'Error') =>
  Object.assign(new Error('x'), { name, $metadata: { httpStatusCode } })
const failed = (code: string, name = 'Error') => Object.assign(new Error('x'), { name, code })

describe('what an error of the S3 client means', () => {
  test.each([
    ['client', answered(400, 'InvalidArgument')],
    ['client', answered(403, 'AccessDenied')],
    ['client', answered(403, 'SignatureDoesNotMatch')],
    ['client', answered(404, 'NoSuchBucket')],
    ['client', answered(301, 'PermanentRedirect')],
    ['client', answered(307, 'TemporaryRedirect')],
    ['client', failed('', 'CredentialsProviderError')],
    ['server', answered(500, 'InternalError')],
    ['server', answered(503, 'SlowDown')],
    ['server', answered(599)],
    ['server', answered(429)],
    ['server', answered(403, 'QuotaExceeded')],
    ['server', answered(403, 'RequestTimeTooSkewed')],
    ['server', answered(404, 'NoSuchUpload')],
    ['server', answered(409, 'OperationAborted')],
    ['server', answered(200, 'SyntaxError')],
    ['server', failed('ECONNREFUSED')],
    ['server', failed('ECONNRESET')],
    ['server', failed('ENOTFOUND')],
    ['server', failed('CERT_HAS_EXPIRED')],
    ['server', new Error('what nobody foresaw')],
    ['server', 'not even an error'],
    ['timeout', answered(408)],
    ['timeout', answered(504)],
    ['timeout', answered(400, 'RequestTimeout')],
    ['timeout', failed('ETIMEDOUT', 'TimeoutError')],
    ['timeout', failed('', 'AbortError')],
    ['digest', answered(400, 'BadDigest')],
    ['digest', answered(400, 'XAmzContentSHA256Mismatch')],
  ])('%s: %o', (fault, error) => {
    const found = s3Fault('PUT t/a', error)
    expect(found).toMatchObject({ fault, cause: error })
    expect(found.message).toMatch(/^PUT t\/a: /)
  })

  test.each([
    [
      'connect ECONNREFUSED 127.0.0.1:1',
      Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:1'), { code: 'ECONNREFUSED' }),
    ],
    ['403 SignatureDoesNotMatch', Object.assign(answered(403, 'SignatureDoesNotMatch'), { message: 'UnknownError' })],
    ['404 NoSuchBucket x', answered(404, 'NoSuchBucket')],
  ])('says %s, and nothing twice', (text, error) => expect(s3Fault('PUT t/a', error).message).toBe(`PUT t/a: ${text}`))

  test('one that is known already stays as it is', () => {
    const error = new BlobError('digest', 'x')
    expect(s3Fault('PUT t/a', error)).toBe(error)
  })

  test.each([
    ['missing', answered(404, 'NoSuchKey')],
    ['maybe', answered(404, 'NotFound')],
    ['maybe', answered(403, 'AccessDenied')],
    ['maybe', answered(403, 'UnknownError')],
    ['no', answered(403, 'SignatureDoesNotMatch')],
    ['no', answered(404, 'NoSuchBucket')],
    ['no', answered(503, 'SlowDown')],
    ['no', undefined],
  ])('missing: %s, by %o', (missing, error) => {
    expect(isMissing(error) ? 'missing' : maybeMissing(error) ? 'maybe' : 'no').toBe(missing)
  })
})
