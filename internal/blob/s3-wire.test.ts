import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3'
import { createServer, Agent, type IncomingMessage, type ServerResponse } from 'node:http'
import { Agent as TlsAgent } from 'node:https'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { patience } from './patience.ts'
import { askPlace, openWire, type Wire, type WireRequest } from './s3-wire.ts'
import { clock } from './testing/bucket.ts'

const credentials = { accessKeyId: 'someone', secretAccessKey: 'secret' }

describe('where a bucket is, by the rules of the SDK', () => {
  test.each<[S3ClientConfig, string, string]>([
    [{ endpoint: 'http://127.0.0.1:8000', forcePathStyle: true }, 'http://127.0.0.1:8000/mail/', 'us-east-1'],
    [{ endpoint: 'http://[::1]:8000', forcePathStyle: true }, 'http://[::1]:8000/mail/', 'us-east-1'],
    [
      { endpoint: 'https://s3.example/gate/way/', forcePathStyle: true },
      'https://s3.example/gate/way/mail/',
      'us-east-1',
    ],
    [{ endpoint: 'https://s3.example:8443' }, 'https://mail.s3.example:8443/', 'us-east-1'],
    [{ region: 'eu-central-1' }, 'https://mail.s3.eu-central-1.amazonaws.com/', 'eu-central-1'],
    [{ region: 'eu-central-1', forcePathStyle: true }, 'https://s3.eu-central-1.amazonaws.com/mail/', 'eu-central-1'],
    [{ region: 'cn-north-1' }, 'https://mail.s3.cn-north-1.amazonaws.com.cn/', 'cn-north-1'],
    [
      { region: 'us-east-2', useDualstackEndpoint: true },
      'https://mail.s3.dualstack.us-east-2.amazonaws.com/',
      'us-east-2',
    ],
  ])('%o: %s', async (config, url, region) => {
    const place = await askPlace(new S3Client({ region: 'us-east-1', credentials, ...config }), 'mail')
    const { protocol, host, root } = place
    expect(`${protocol}//${host}${root}`).toBe(url)
    expect(place.region).toBe(region)
    expect(place.hostname).toBe(new URL(url).hostname.replaceAll(/[[\]]/g, ''))
    expect(String(place.port ?? '')).toBe(new URL(url).port)
  })
})

describe('a request past the SDK', () => {
  const ends: (() => void)[] = []
  afterEach(() => ends.splice(0).forEach((end) => end()))

  /** A store that answers as it is told, and what it saw. */
  async function store(answer: (asked: IncomingMessage, answer: ServerResponse) => void, config: S3ClientConfig = {}) {
    const seen: IncomingMessage[] = []
    const server = createServer((asked, response) => {
      seen.push(asked)
      answer(asked, response)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const client = new S3Client({ endpoint, region: 'r', forcePathStyle: true, credentials, maxAttempts: 1, ...config })
    const agents = { http: new Agent({ keepAlive: true }), https: new TlsAgent() }
    ends.push(
      () => agents.http.destroy(),
      () => server.closeAllConnections(),
      () => server.close(),
    )
    return { seen, asking: asking(openWire({ client, bucket: 'mail', clock, agents, connectMs: 1000 })) }
  }
  const patiently = patience({ clock, idleMs: 5000, wholeMs: 5000 })
  const asking = (wire: Wire) => async (request: WireRequest) =>
    (await patiently('test', (hold) => wire(request, hold))).resume()

  test('asks for credentials each time: they may be new ones, and then have a session', async () => {
    let asked = 0
    const provider = async () => {
      asked += 1
      return { ...credentials, accessKeyId: `key${asked}`, sessionToken: `token${asked}`, expiration: new Date(0) }
    }
    const { seen, asking } = await store((_asked, answer) => answer.end(), { credentials: provider })
    for (let n = 0; n < 2; n += 1) await asking({ method: 'GET', key: 'a' })
    const [first, second] = seen.map(({ headers }) => ({
      token: headers['x-amz-security-token'],
      key: /Credential=([^/]*)/.exec(headers.authorization ?? '')?.[1],
    }))
    expect(first?.token).toMatch(/^token\d$/)
    expect(second?.token).toMatch(/^token\d$/)
    expect(second?.token).not.toBe(first?.token)
    expect(second?.key?.slice(3)).toBe(second?.token?.slice(5))
  })

  test.each([
    [404, '', { name: 'NotFound' }],
    [403, '', { name: 'Error' }],
    [
      503,
      '<Error><Code>SlowDown</Code><Message>Not so fast</Message></Error>',
      { name: 'SlowDown', message: 'Not so fast' },
    ],
    [307, 'no XML', { name: 'Error' }],
    [200, '', undefined],
  ])('status %d with %j', async (status, text, failure) => {
    const { asking } = await store((_asked, answer) => void answer.writeHead(status).end(text))
    const outcome = await asking({ method: 'GET', key: 'a' }).then(
      () => undefined,
      (error: unknown) => error,
    )
    if (failure === undefined) expect(outcome).toBeUndefined()
    else expect(outcome).toMatchObject({ ...failure, $metadata: { httpStatusCode: status } })
  })

  test('a refusal that comes before all is sent is heard, and the rest is not sent', async () => {
    let given = 0
    function* endless() {
      for (; given < 1000; given += 1) yield Buffer.alloc(65_536)
    }
    const { asking } = await store((_asked, answer) => answer.writeHead(403).end('<Code>AccessDenied</Code>'))
    const body = { sizeBytes: 1000 * 65_536, sha256: '0'.repeat(64), bytes: endless() }
    await expect(asking({ method: 'PUT', key: 'a', body })).rejects.toMatchObject({ name: 'AccessDenied' })
    expect(given).toBeLessThan(1000)
  })

  test('a connection that does not come about is not waited for as long as an answer', async () => {
    const client = new S3Client({ endpoint: 'http://nowhere.invalid', region: 'r', forcePathStyle: true, credentials })
    const agents = { http: new Agent({ lookup: () => undefined }), https: new TlsAgent() }
    const wire = openWire({ client, bucket: 'mail', clock, agents, connectMs: 50 })
    await expect(asking(wire)({ method: 'GET', key: 'a' })).rejects.toMatchObject({ code: 'ETIMEDOUT' })
  })
})
