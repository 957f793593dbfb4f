import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { escaped, NOTHING_SHA256, pathOf, signed } from './s3-sign.ts'

describe('Signature Version 4', () => {
  // "Authenticating Requests: Using the Authorization Header", the examples of Amazon's documents.
  const credentials = {
    accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
    secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  }
  const example = {
    credentials,
    region: 'us-east-1',
    at: Date.UTC(2013, 4, 24),
    query: '',
    sha256: NOTHING_SHA256,
  }
  const host = 'examplebucket.s3.amazonaws.com'
  test.each([
    [
      'GET Object',
      { method: 'GET', path: '/test.txt', headers: { host, range: 'bytes=0-9' } },
      'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
    ],
    [
      'PUT Object',
      {
        method: 'PUT',
        path: pathOf('/test$file.text'),
        headers: { host, date: 'Fri, 24 May 2013 00:00:00 GMT', 'x-amz-storage-class': 'REDUCED_REDUNDANCY' },
        sha256: createHash('sha256').update('Welcome to Amazon S3.').digest('hex'),
      },
      '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
    ],
    [
      'GET Bucket Lifecycle',
      { method: 'GET', path: '/', query: 'lifecycle=', headers: { host } },
      'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
    ],
    [
      'Get Bucket (List Objects)',
      { method: 'GET', path: '/', query: 'max-keys=2&prefix=J', headers: { host } },
      '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
    ],
  ])('%s is signed as in the example', (_name, request, signature) => {
    const { authorization } = signed({ ...example, ...request })
    expect(authorization).toMatch(/^AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE\/20130524\/us-east-1\/s3\/aws4_r/)
    expect(authorization).toMatch(new RegExp(`, Signature=${signature}$`))
  })

  test.each([
    ['a/b-c_d.e~f', 'a/b-c_d.e~f'],
    ["!_*'()=+@,-/x", '%21_%2A%27%28%29%3D%2B%40%2C-/x'],
    ['a b/ä', 'a%20b/%C3%A4'],
    ['50%/?#&', '50%25/%3F%23%26'],
  ])('the key %j is the path %j', (key, path) => expect(pathOf(key)).toBe(path))

  test('in a query the slash is escaped as well', () => expect(escaped('2~a/b+c=')).toBe('2~a%2Fb%2Bc%3D'))
})

describe('a request of the SDK and ours have the same signature', () => {
  const credentials = { accessKeyId: 'someone', secretAccessKey: 'secret' }
  test.each([
    ['of a path', { Key: 'acme/2026/01/02/x.eml' }, {}],
    ['of a key to be escaped', { Key: "t/!_*'()=+@,-/a.b..c" }, {}],
    ['of a key that is not ASCII', { Key: 'acme/ä b%/~x' }, {}],
    ['of a bucket as a host', { Key: 'a' }, { endpoint: 'https://s3.example.org', forcePathStyle: false }],
    ['of an endpoint with a path', { Key: 'a' }, { endpoint: 'http://[::1]:8443/gate/way' }],
    ['of Amazon', { Key: 'a/b' }, { endpoint: undefined, forcePathStyle: false, region: 'eu-central-1' }],
    ['of Amazon in China', { Key: 'a/b' }, { endpoint: undefined, region: 'cn-north-1' }],
    ['with facts', { Key: 'a', Metadata: { tenant: 'acme', note: '  two   spaces ' } }, {}],
    ['with a session', { Key: 'a' }, { credentials: { ...credentials, sessionToken: 'token/+=' } }],
    ['of another secret', { Key: 'a' }, { credentials: { ...credentials, secretAccessKey: 'other' } }],
  ])('%s', async (_what, input, change) => {
    const options = {
      endpoint: 'http://127.0.0.1:8000',
      region: 'us-east-1',
      forcePathStyle: true,
      credentials,
      ...change,
    }
    const { endpoint, ...rest } = options
    const client = new S3Client({ ...rest, ...(endpoint !== undefined && { endpoint }) })
    const sent = await sentBy(client, input)
    const { authorization, ...headers } = sent.headers
    const names = /SignedHeaders=([^,]*)/.exec(authorization ?? '')?.[1]?.split(';') ?? []
    const at = Date.parse(String(headers['x-amz-date']).replace(/(....)(..)(..)T(..)(..)(..)/, '$1-$2-$3T$4:$5:$6'))
    const again = signed({
      method: 'PUT',
      path: sent.path,
      query: 'x-id=PutObject',
      headers: Object.fromEntries(names.map((name) => [name, headers[name] ?? ''])),
      sha256: String(headers['x-amz-content-sha256']),
      credentials: options.credentials,
      region: options.region,
      at,
    })
    expect(sent.path.endsWith(pathOf(input.Key))).toBe(true)
    expect(again['authorization']).toBe(authorization)
    expect(again['x-amz-security-token']).toBe(headers['x-amz-security-token'])
  })
})

/** What the client would send. */
async function sentBy(client: S3Client, input: { Key: string; Metadata?: Record<string, string> }) {
  type Sent = { path: string; headers: Record<string, string> }
  const { promise, resolve } = Promise.withResolvers<Sent>()
  const command = new PutObjectCommand({ Bucket: 'bucket', Body: 'some bytes', ...input })
  command.middlewareStack.add(
    () => async (args) => {
      resolve(args.request as Sent)
      throw new Error('not to be sent')
    },
    { step: 'deserialize', priority: 'low' },
  )
  await client.send(command).catch(() => undefined)
  return promise
}
