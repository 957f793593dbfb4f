// What docs/object-store.md says about buckets, on a real Ceph RGW: its permissions, life cycle, versions and locks.

import {
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  GetBucketPolicyCommand,
  GetObjectCommand,
  ListBucketsCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutBucketAclCommand,
  PutBucketLifecycleConfigurationCommand,
  PutBucketPolicyCommand,
  PutBucketVersioningCommand,
  PutObjectAclCommand,
  PutObjectCommand,
  PutObjectLockConfigurationCommand,
  S3Client,
  UploadPartCommand,
  type BucketLifecycleConfiguration,
} from '@aws-sdk/client-s3'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { rgwUnavailable, startRgw, type Rgw } from '../../test/engines/rgw.ts'
import { uploadOf } from './contract.ts'
import { s3Blobs } from './s3.ts'
import { clock, testBucket, type TestBucket } from './testing/bucket.ts'

const run = promisify(execFile)
const MIB = 1024 ** 2
const PREFIX = 'mail/in'
const reason = rgwUnavailable()
const [policy = '', lifecycle = ''] = [
  ...readFileSync('docs/object-store.md', 'utf8').matchAll(/```json\n([\s\S]*?)```/g),
].map((match) => match[1] ?? '')
const filled = (document: string, bucket: string) => document.replaceAll('BUCKET', bucket).replaceAll('PREFIX', PREFIX)
const parts = { singleBytesMax: 5 * MIB, partBytes: 5 * MIB }

describe.skipIf(reason)(`buckets in S3 ${reason ?? ''}`, () => {
  let rgw: Rgw
  beforeAll(async () => {
    rgw = await startRgw()
  })
  afterAll(() => rgw?.stop())

  describe('over TLS', () => {
    test.each([
      ['a CA named to Node is trusted', true, /^the same$/],
      ['of a CA that is not, nothing is sent', false, /^server: .*(self.signed|unable to)/],
    ])('%s', async (_what, named, printed) => {
      const { name } = await testBucket(rgw)
      const { accessKeyId: AWS_ACCESS_KEY_ID, secretAccessKey: AWS_SECRET_ACCESS_KEY, tls } = rgw
      const ca = named ? { NODE_EXTRA_CA_CERTS: tls.caFile } : {}
      const env = { PATH: process.env['PATH'], AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, ...ca }
      const program = join(import.meta.dirname, 'testing/there-and-back.ts')
      const { stdout } = await run(process.execPath, [program, tls.endpoint, name], { env })
      expect(stdout).toMatch(printed)
    })
  })

  describe('a user with the policy of the document', () => {
    const credentials = { accessKeyId: 'mailaccess', secretAccessKey: 'mailsecretmailsecret' }
    let bucket: TestBucket
    let user: S3Client
    beforeAll(async () => {
      bucket = await testBucket(rgw)
      const keys = [`--access-key=${credentials.accessKeyId}`, `--secret-key=${credentials.secretAccessKey}`]
      const name = ['--uid=mail-ingest', '--display-name=mail-ingest', '--max-buckets=-1']
      await rgw.admin('user', 'create', ...name, ...keys)
      user = new S3Client({ endpoint: rgw.endpoint, region: 'us-east-1', credentials, forcePathStyle: true })
      const statement = filled(policy, bucket.name)
      await bucket.raw.send(new PutBucketPolicyCommand({ Bucket: bucket.name, Policy: statement }))
      for (const key of ['other/secret', 'mail/inside', `${PREFIX}/t/given`]) {
        await bucket.raw.send(new PutObjectCommand({ Bucket: bucket.name, Key: key, Body: 'x' }))
      }
    })

    test('does all that the product does', async () => {
      const store = bucket.fresh({ prefix: PREFIX, credentials, limits: parts })
      await store.put('t/small', uploadOf('small'))
      await store.put('t/large', uploadOf(Buffer.alloc(12 * MIB)))
      expect((await (await store.get('t/given'))?.body.toArray())?.toString()).toBe('x')
      expect(await store.head('t/large')).toMatchObject({ sizeBytes: 12 * MIB })
      expect(await store.get('t/none')).toBeUndefined()
      expect(await store.head('t/none')).toBeUndefined()
      expect(await keysOf(store.list(''))).toEqual(['t/given', 't/large', 't/small'])
      await store.delete('t/small')
      await store.delete('t/none')
      const bad = store.put('t/bad', { ...uploadOf(Buffer.alloc(12 * MIB)), sha256: '0'.repeat(64) })
      await expect(bad).rejects.toMatchObject({ fault: 'digest' })
      expect(await bucket.pending()).toEqual([])
    })

    test.each<[string, (Bucket: string) => Promise<unknown>]>([
      ['read elsewhere', (Bucket) => user.send(new GetObjectCommand({ Bucket, Key: 'other/secret' }))],
      ['read beside the prefix', (Bucket) => user.send(new GetObjectCommand({ Bucket, Key: 'mail/inside' }))],
      ['write elsewhere', (Bucket) => user.send(new PutObjectCommand({ Bucket, Key: 'other/x', Body: 'x' }))],
      ['delete elsewhere', (Bucket) => user.send(new DeleteObjectCommand({ Bucket, Key: 'other/secret' }))],
      ['begin parts elsewhere', (Bucket) => user.send(new CreateMultipartUploadCommand({ Bucket, Key: 'other/x' }))],
      ['list all', (Bucket) => user.send(new ListObjectsV2Command({ Bucket }))],
      ['list elsewhere', (Bucket) => user.send(new ListObjectsV2Command({ Bucket, Prefix: 'other/' }))],
      ['list beside the prefix', (Bucket) => user.send(new ListObjectsV2Command({ Bucket, Prefix: 'mail/i' }))],
      ['list versions', (Bucket) => user.send(new ListObjectVersionsCommand({ Bucket, Prefix: `${PREFIX}/` }))],
      ['read the policy', (Bucket) => user.send(new GetBucketPolicyCommand({ Bucket }))],
      [
        'change the policy',
        (Bucket) => user.send(new PutBucketPolicyCommand({ Bucket, Policy: filled(policy, Bucket) })),
      ],
      ['open the bucket', (Bucket) => user.send(new PutBucketAclCommand({ Bucket, ACL: 'public-read' }))],
      [
        'open an object',
        (Bucket) => user.send(new PutObjectAclCommand({ Bucket, Key: `${PREFIX}/t/given`, ACL: 'public-read' })),
      ],
      [
        'let objects expire',
        (Bucket) =>
          user.send(new PutBucketLifecycleConfigurationCommand({ Bucket, LifecycleConfiguration: rules(Bucket) })),
      ],
      [
        'turn versions off',
        (Bucket) =>
          user.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: 'Suspended' } })),
      ],
      ['delete the bucket', (Bucket) => user.send(new DeleteBucketCommand({ Bucket }))],
      ['make a bucket', () => user.send(new CreateBucketCommand({ Bucket: 'of-its-own' }))],
    ])('cannot %s', async (_what, act) => {
      const status = await act(bucket.name).then(
        () => 200,
        (error: { $metadata: { httpStatusCode: number } }) => error.$metadata.httpStatusCode,
      )
      // 400 is RGW's "too many buckets".
      expect([400, 403]).toContain(status)
    })

    test('sees no other bucket', async () => {
      expect((await user.send(new ListBucketsCommand({}))).Buckets ?? []).toEqual([])
    })

    test('without the policy can do nothing', async () => {
      const other = await testBucket(rgw)
      const store = other.fresh({ prefix: PREFIX, credentials })
      await expect(store.put('t/a', uploadOf('a'))).rejects.toMatchObject({ fault: 'client' })
      await expect(store.get('t/a')).rejects.toMatchObject({ fault: 'client' })
      await expect(keysOf(store.list(''))).rejects.toMatchObject({ fault: 'client' })
    })
  })

  const rules = (bucket: string) => JSON.parse(filled(lifecycle, bucket)) as BucketLifecycleConfiguration

  test('the life cycle removes parts that were left behind, and old versions; objects stay', async () => {
    const bucket = await testBucket(rgw)
    const where = { Bucket: bucket.name, Key: `${PREFIX}/t/left` }
    const versions = { Bucket: bucket.name, VersioningConfiguration: { Status: 'Enabled' as const } }
    await bucket.raw.send(new PutBucketVersioningCommand(versions))
    const store = bucket.fresh({ prefix: PREFIX, limits: parts })
    await store.put('t/large', uploadOf(Buffer.alloc(12 * MIB)))
    for (const body of ['one', 'two']) await store.put('t/a', uploadOf(body))
    const { UploadId } = await bucket.raw.send(new CreateMultipartUploadCommand(where))
    await bucket.raw.send(new UploadPartCommand({ ...where, UploadId, PartNumber: 1, Body: 'x' }))
    expect(await bucket.pending()).toEqual([where.Key])
    expect(await bucket.everything()).toHaveLength(3)

    const quick = rules(bucket.name)
    // Its 30 days are a minute in this cluster; one is enough to see it work.
    for (const { NoncurrentVersionExpiration: old } of quick.Rules ?? []) if (old) old.NoncurrentDays = 1
    await bucket.raw.send(
      new PutBucketLifecycleConfigurationCommand({ Bucket: bucket.name, LifecycleConfiguration: quick }),
    )
    const settled = async () => (await bucket.pending()).length === 0 && (await bucket.everything()).length === 2
    for (let tries = 0; tries < 150 && !(await settled()); tries += 1) await sleep(200)
    expect(await bucket.pending()).toEqual([])
    expect(await keysOf(store.list(''))).toEqual(['t/a', 't/large'])
    expect(await bucket.everything()).toEqual([`${PREFIX}/t/a`, `${PREFIX}/t/large`])
    expect((await (await store.get('t/a'))?.body.toArray())?.toString()).toBe('two')
  })

  test.each([false, true])(
    'with versions the product works the same; object lock: %s',
    async (ObjectLockEnabledForBucket) => {
      const Bucket = `versions-${ObjectLockEnabledForBucket}`
      const { raw } = await testBucket(rgw)
      await raw.send(new CreateBucketCommand({ Bucket, ObjectLockEnabledForBucket }))
      if (ObjectLockEnabledForBucket) {
        const Rule = { DefaultRetention: { Mode: 'COMPLIANCE' as const, Days: 1 } }
        const ObjectLockConfiguration = { ObjectLockEnabled: 'Enabled' as const, Rule }
        await raw.send(new PutObjectLockConfigurationCommand({ Bucket, ObjectLockConfiguration }))
      } else {
        const VersioningConfiguration = { Status: 'Enabled' as const }
        await raw.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration }))
      }
      const { endpoint, accessKeyId, secretAccessKey } = rgw
      const credentials = { accessKeyId, secretAccessKey }
      const store = s3Blobs({
        bucket: Bucket,
        prefix: PREFIX,
        endpoint,
        pathStyle: true,
        credentials,
        clock,
        limits: parts,
      })

      await store.put('t/a', uploadOf('first'))
      await store.put('t/a', uploadOf('second'))
      await store.put('t/large', uploadOf(Buffer.alloc(12 * MIB)))
      expect(await keysOf(store.list(''))).toEqual(['t/a', 't/large'])
      expect((await (await store.get('t/a'))?.body.toArray())?.toString()).toBe('second')
      await store.delete('t/a')
      expect(await store.get('t/a')).toBeUndefined()
      expect(await store.head('t/a')).toBeUndefined()
      expect(await keysOf(store.list(''))).toEqual(['t/large'])

      const { Versions = [] } = await raw.send(new ListObjectVersionsCommand({ Bucket, Prefix: `${PREFIX}/t/a` }))
      expect(Versions).toHaveLength(2)
      const [{ Key, VersionId } = {}] = Versions
      const erase = raw.send(new DeleteObjectCommand({ Bucket, Key, VersionId }))
      if (ObjectLockEnabledForBucket) await expect(erase).rejects.toMatchObject({ name: 'AccessDenied' })
      else await erase
    },
  )
})

async function keysOf(listed: AsyncIterable<{ key: string }>): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of listed) keys.push(key)
  return keys
}
