// Where objects lie in S3, as one URL: `s3://bucket/prefix?endpoint=https://s3.example&region=eu&pathStyle=true`.

export interface S3Place {
  bucket: string
  /** Before every key, without a slash at its ends; empty for the whole bucket. */
  prefix: string
  /** Origin of a store that is not Amazon's. Absent: Amazon's for the region. */
  endpoint?: string
  region?: string
  /** `https://host/bucket/key` instead of `https://bucket.host/key`: true with an endpoint unless the URL says otherwise. */
  pathStyle: boolean
}

/** With a key of 512 bytes after it the whole stays under S3's 1024. */
const PREFIX_BYTES_MAX = 256

/** Amazon's rules for general buckets; they are also host names. */
const BUCKET = /^(?=.{3,63}$)[a-z0-9]+([.-][a-z0-9]+|--+[a-z0-9]+)*$/
/** A part of an object's key: letters, digits and S3's safe marks, and no dot at its beginning: no `..`, and dotted names are left to the adapters. */
export const KEY_PART = /^[A-Za-z0-9!_*'()=+@,-][A-Za-z0-9!_*'()=+@,.-]{0,199}$/
const REGION = /^[a-z0-9][a-z0-9-]{0,62}$/
const PARAMETERS = new Set(['endpoint', 'region', 'pathStyle'])

/** Reads an object store URL. Throws TypeError that says what is wrong with it; secrets have no place in it. */
export function s3Place(url: string): S3Place {
  const { protocol, host, hostname, port, pathname, searchParams, hash, username, password } = parsed(url)
  if (protocol !== 's3:') refuse('it begins with s3:// and the bucket')
  if (username !== '' || password !== '')
    refuse('credentials are taken from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY')
  if (port !== '') refuse(`the host and port of the store go to ?endpoint=http://host:${port}`)
  if (!BUCKET.test(hostname)) refuse(`not a bucket name: ${JSON.stringify(host)}`)
  if (hash !== '') refuse('it has no #fragment')
  for (const name of searchParams.keys()) {
    if (!PARAMETERS.has(name)) refuse(`unknown parameter ${JSON.stringify(name)}`)
    if (searchParams.getAll(name).length > 1) refuse(`${name} is there twice`)
  }
  const endpoint = optional(searchParams.get('endpoint'), endpointOf)
  const region = optional(searchParams.get('region'), regionOf)
  const pathStyle = optional(searchParams.get('pathStyle'), booleanOf) ?? endpoint !== undefined
  return {
    bucket: hostname,
    prefix: prefixOf(pathname),
    ...(endpoint && { endpoint }),
    ...(region && { region }),
    pathStyle,
  }
}

function parsed(url: string): URL {
  try {
    return new URL(url)
  } catch {
    return refuse('not a URL')
  }
}

const optional = <T>(value: string | null, read: (value: string) => T) => (value === null ? undefined : read(value))

function prefixOf(path: string): string {
  const prefix = path.replace(/^\//, '').replace(/\/$/, '')
  if (prefix === '') return ''
  if (prefix.length > PREFIX_BYTES_MAX) refuse(`a prefix of over ${PREFIX_BYTES_MAX} bytes`)
  if (!prefix.split('/').every((part) => KEY_PART.test(part)))
    refuse(`not the beginning of object keys: ${JSON.stringify(prefix)}`)
  return prefix
}

function endpointOf(value: string): string {
  const url = URL.canParse(value) ? new URL(value) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol)) return refuse('the endpoint is an http: or https: URL')
  if (url.username !== '' || url.password !== '') refuse('the endpoint has no credentials')
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '')
    refuse('the endpoint has nothing after its host and port')
  return url.origin
}

const regionOf = (value: string) => (REGION.test(value) ? value : refuse('not a region'))

function booleanOf(value: string): boolean {
  if (value !== 'true' && value !== 'false') refuse('pathStyle is true or false')
  return value === 'true'
}

/** The URL itself is not repeated: somebody may have put a password into it. */
function refuse(why: string): never {
  throw new TypeError(`must be like s3://BUCKET/PREFIX?endpoint=URL&region=NAME&pathStyle=true: ${why}`)
}
