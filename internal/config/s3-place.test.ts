import { describe, expect, test } from 'vitest'
import { s3Place } from './s3-place.ts'

describe('object store URL', () => {
  test.each([
    ['s3://mail', { bucket: 'mail', prefix: '', pathStyle: false }, 'the whole bucket, at Amazon'],
    ['s3://mail/', { bucket: 'mail', prefix: '', pathStyle: false }, 'a slash is no prefix'],
    ['s3://mail/in/eu/', { bucket: 'mail', prefix: 'in/eu', pathStyle: false }, 'a prefix has no slash at its ends'],
    ['s3://mail?region=eu-1', { bucket: 'mail', prefix: '', region: 'eu-1', pathStyle: false }, 'a region'],
    [
      's3://mail/in?endpoint=http://10.0.0.1:8000',
      { bucket: 'mail', prefix: 'in', endpoint: 'http://10.0.0.1:8000', pathStyle: true },
      'other stores: by path unless told otherwise',
    ],
    [
      's3://mail?endpoint=https%3A%2F%2Frgw.example%2F&pathStyle=false&region=eu',
      { bucket: 'mail', prefix: '', endpoint: 'https://rgw.example', region: 'eu', pathStyle: false },
      'everything, escaped',
    ],
    ['s3://my-mail.2026', { bucket: 'my-mail.2026', prefix: '', pathStyle: false }, 'dots and hyphens'],
  ])('%s is %j (%s)', (url, want, _why) => expect(s3Place(url)).toEqual(want))

  test.each([
    ['', 'not a URL'],
    ['s3:', 'not a bucket name'],
    ['file:///mail', 'begins with s3://'],
    ['https://s3.example/mail', 'begins with s3://'],
    ['s3://ab', 'not a bucket name'],
    ['s3://Mail', 'not a bucket name'],
    ['s3://my_mail', 'not a bucket name'],
    ['s3://mail.', 'not a bucket name'],
    [`s3://${'m'.repeat(64)}`, 'not a bucket name'],
    ['s3://rgw.example:8000/mail', 'endpoint=http://host:8000'],
    ['s3://key:secret@mail', 'AWS_ACCESS_KEY_ID'],
    ['s3://mail/a//b', 'not the beginning of object keys'],
    ['s3://mail/.a', 'not the beginning of object keys'],
    ['s3://mail/a%20b', 'not the beginning of object keys'],
    [`s3://mail/${'p'.repeat(200)}/${'p'.repeat(60)}`, 'prefix of over 256 bytes'],
    ['s3://mail#x', 'no #fragment'],
    ['s3://mail?endpont=http://h', 'unknown parameter "endpont"'],
    ['s3://mail?region=eu&region=us', 'region is there twice'],
    ['s3://mail?region=EU 1', 'not a region'],
    ['s3://mail?region=', 'not a region'],
    ['s3://mail?pathStyle=yes', 'pathStyle is true or false'],
    ['s3://mail?endpoint=rgw:8000', 'http: or https:'],
    ['s3://mail?endpoint=', 'http: or https:'],
    ['s3://mail?endpoint=http://k:s@h', 'no credentials'],
    ['s3://mail?endpoint=http://h/bucket', 'nothing after its host'],
  ])('%s is refused: %s', (url, why) => expect(() => s3Place(url)).toThrow(why))

  test('what is refused is not repeated: it may hold a password', () => {
    expect(() => s3Place('s3://key:hunter2@mail')).toThrow(expect.not.stringContaining('hunter2'))
  })
})
