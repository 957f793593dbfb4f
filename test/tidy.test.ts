// Style is a test (style.md habit 24): what can be checked by reading the source is checked here.

import { readFileSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { dirname, join, normalize } from 'node:path'
import { describe, expect, test } from 'vitest'

const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { encoding: 'utf8' })
const files = tracked.split('\n').filter((name) => name !== '')
const sources = files.filter((name) => name.endsWith('.ts') && !name.startsWith('runtime/'))
const product = sources.filter((name) => /^(cmd|spool|internal|alerts)\//.test(name) && !isTest(name))
const textOf = new Map(
  files
    .filter((name) => /\.(ts|md|json|yml|smtp|example)$|^Makefile$|^bin\//.test(name))
    .map((name) => [name, readFileSync(name, 'utf8')]),
)

function isTest(name: string): boolean {
  return (
    name.endsWith('.test.ts') ||
    /^(test|bench)\//.test(name) ||
    /\/(testing|contract|fixture)[^/]*(\/|\.ts$)/.test(name)
  )
}
const read = (name: string): string => textOf.get(name) ?? readFileSync(name, 'utf8')
const codeOf = (name: string): string =>
  read(name)
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/(^|[^:'"`])\/\/.*$/gm, '$1')

/** `internal/blob` for `internal/blob/file.ts`; `spool`; `cmd`. */
const packageOf = (name: string): string =>
  name.startsWith('internal/') ? name.split('/').slice(0, 2).join('/') : (name.split('/')[0] ?? '')
const importsOf = (name: string): string[] =>
  [
    ...codeOf(name).matchAll(
      /(?:^|\n)\s*(?:import|export)\s[^'"]*?from\s*['"]([^'"]+)['"]|(?:^|[^.\w])import\(\s*['"]([^'"]+)['"]\s*\)|(?:^|\n)import\s*['"]([^'"]+)['"]/g,
    ),
  ].map((match) => match[1] ?? match[2] ?? match[3] ?? '')

const LAYERS: Record<string, number> = {
  spool: 0,
  'internal/envelope': 0,
  'internal/config': 0,
  'internal/ports': 0,
  alerts: 1,
  'internal/authentication': 1,
  'internal/message': 1,
  'internal/blob': 1,
  'internal/eventlog': 1,
  'internal/store': 1,
  'internal/directory': 1,
  'internal/scanner': 1,
  'internal/smtp': 2,
  'internal/upload': 2,
  'internal/indexer': 2,
  'internal/probe': 2,
  'internal/outbound': 2,
  'internal/daemon': 3,
  'internal/cli': 3,
  cmd: 4,
}

/** Equals that may know each other: the store keeps a projection of the events; the command line shows and replays what the indexer indexed. */
const ALLOWED_EQUALS = new Set(['internal/store > internal/eventlog', 'internal/envelope > internal/ports'])

const HOMES: Record<string, readonly string[]> = {
  mailauth: ['internal/authentication'],
  'dns-packet': ['internal/authentication'],
  mailparser: ['internal/message'],
  htmlparser2: ['internal/message'],
  libmime: ['internal/message'],
  kysely: ['internal/store'],
  'better-sqlite3': ['internal/store', 'internal/eventlog', 'internal/directory'],
  typebox: ['internal/eventlog'],
  kafkajs: ['internal/eventlog'],
  '@aws-sdk/client-s3': ['internal/blob'],
  pg: ['internal/store'],
  pino: ['internal/daemon'],
  '@opentelemetry/api': ['internal/daemon'],
  '@opentelemetry/exporter-trace-otlp-http': ['internal/daemon'],
  '@opentelemetry/exporter-trace-otlp-proto': ['internal/daemon'],
  '@opentelemetry/resources': ['internal/daemon'],
  '@opentelemetry/sdk-trace': ['internal/daemon'],
  commander: ['internal/cli'],
  nodemailer: ['internal/cli', 'internal/outbound', 'internal/probe'],
  '@grafana/grafana-foundation-sdk': ['alerts'],
  '@prometheus-io/client': [
    'internal/authentication',
    'internal/message',
    'internal/blob',
    'internal/eventlog',
    'internal/store',
    'internal/directory',
    'internal/scanner',
    'internal/smtp',
    'internal/upload',
    'internal/indexer',
    'internal/probe',
    'internal/outbound',
    'internal/daemon',
    'internal/cli',
    'cmd',
  ],
}

const BANNED: readonly [RegExp, string, RegExp][] = [
  [
    /\bDate\.now\(|new Date\(\)|\bsetTimeout\(|\bsetInterval\(|performance\.now\(|AbortSignal\.timeout\(/,
    'take a Clock',
    /^internal\/daemon\//,
  ],
  [/Math\.random\(|\brandomBytes\(|\brandomUUID\(|randomFillSync\(/, 'take a source of ids', /^internal\/daemon\//],
  [/process\.env\b/, 'read settings through internal/config', /^(cmd|internal\/config)\//],
  [/\bconsole\./, 'log through the Log, print through the stream that was given', /^$/],
  [/\bas any\b|:\s*any\b|<any>/, 'parse at the edge, use unknown before that', /^$/],
  [/@ts-ignore|@ts-expect-error|oxlint-disable(?!-next-line [a-z])/, 'mend the type or the code', /^$/],
  [/\.catch\(\(\) => (\{\}|undefined)\)/, 'handle it, or let it pass to the one place that does', /^$/],
  [/from ['"]node:events['"]/, 'functions and values; wrap the emitters of libraries', /^$/],
]

const EMPTY_NAMES = /(^|\/)(utils?|helpers?|common|shared|lib|misc|managers?|services?|index)(\.|\/|$)/
const LINES_PER_FILE = 420

const broken = (names: readonly string[], problem: (name: string) => string | string[] | undefined): string[] =>
  names.flatMap((name) => [problem(name) ?? []].flat().map((text) => `${name}: ${text}`))

describe('structure', () => {
  test('imports point downwards, to faces, and never to an equal', () => {
    const wrong = broken(product, (name) =>
      importsOf(name)
        .filter((target) => target.startsWith('.') && target.endsWith('.ts'))
        .flatMap((target) => {
          const file = normalize(join(dirname(name), target))
          const [from, to] = [packageOf(name), packageOf(file)]
          if (from === to) return []
          const [below, above] = [LAYERS[to], LAYERS[from]]
          if (below === undefined || above === undefined) return [`${from} or ${to} has no layer in this test`]
          if (from !== 'cmd' && file !== `${to}/${to.split('/').at(-1)}.ts`)
            return [`imports ${file}, which is not the face of ${to}`]
          if (below < above || ALLOWED_EQUALS.has(`${from} > ${to}`)) return []
          return [`${from} (layer ${above}) must not import ${to} (layer ${below})`]
        }),
    )
    expect(wrong).toEqual([])
  })

  test('each npm package has its home', () => {
    const wrong = broken(product, (name) =>
      importsOf(name)
        .filter((target) => !/^(\.|node:)/.test(target))
        .flatMap((target) => {
          const npm = target.startsWith('@') ? target.split('/').slice(0, 2).join('/') : (target.split('/')[0] ?? '')
          const homes = HOMES[npm]
          if (homes === undefined) return [`${npm} has no home in this test`]
          return homes.includes(packageOf(name)) ? [] : [`${npm} lives in ${homes.join(', ')}`]
        }),
    )
    expect(wrong).toEqual([])
  })

  test('layer 0 imports node: only', () => {
    const bottom = product.filter((name) => LAYERS[packageOf(name)] === 0)
    expect(broken(bottom, (name) => importsOf(name).filter((target) => !/^(\.|node:)/.test(target)))).toEqual([])
  })

  test('every dependency is used, and every used one is pinned exactly', () => {
    const { dependencies, devDependencies } = JSON.parse(read('package.json')) as Record<string, Record<string, string>>
    const used = new Set(product.flatMap(importsOf))
    const unused = Object.keys(dependencies ?? {}).filter(
      (npm) => ![...used].some((target) => target === npm || target.startsWith(`${npm}/`)),
    )
    const floating = Object.entries({ ...dependencies, ...devDependencies }).filter(
      ([, version]) => !/^\d+\.\d+\.\d+$/.test(version),
    )
    expect({ unused, floating }).toEqual({ unused: [], floating: [] })
  })
})

describe('source', () => {
  test('no banned calls', () => {
    const wrong = broken(product, (name) =>
      BANNED.filter(([pattern, , exempt]) => !exempt.test(name) && pattern.test(codeOf(name))).map(
        ([pattern, better]) => `${pattern.exec(codeOf(name))?.[0] ?? ''}: ${better}`,
      ),
    )
    expect(wrong).toEqual([])
  })

  test('no names that say nothing', () => {
    expect(sources.filter((name) => EMPTY_NAMES.test(name))).toEqual([])
  })

  test('files are small', () => {
    expect(
      broken(product, (name) =>
        read(name).split('\n').length > LINES_PER_FILE ? `over ${LINES_PER_FILE} lines` : undefined,
      ),
    ).toEqual([])
  })

  test('an RFC is cited with its section', () => {
    const bare = /\bRFC ?\d{3,5}\b(?!,? (section )?\d)/
    const wrong = broken(product, (name) =>
      read(name)
        .split('\n')
        .filter((line) => bare.test(line))
        .map((line) => line.trim()),
    )
    expect(wrong).toEqual([])
  })

  test('every package says what it is, at the top of its face', () => {
    const faces = Object.keys(LAYERS)
      .filter((name) => name !== 'cmd')
      .map((name) => `${name}/${name.split('/').at(-1)}.ts`)
    expect(faces.filter((face) => !/^\/\/ (Package )?\S+/.test(read(face)))).toEqual([])
  })
})

describe('documents', () => {
  const prose = files.filter((name) => name.endsWith('.md'))

  test('every path that a document names exists', () => {
    const wrong = broken(prose, (name) =>
      [
        ...read(name).matchAll(
          /`((?:cmd|spool|internal|test|bench|docs|deploy|schemas|alerts|bin|runtime)\/[\w./-]+)`/g,
        ),
      ]
        .map((match) => match[1] ?? '')
        .filter(
          (path) =>
            !files.includes(path) && !files.some((file) => file.startsWith(path.endsWith('/') ? path : `${path}/`)),
        )
        .map((path) => `names ${path}, which is not there`),
    )
    expect(wrong).toEqual([])
  })

  test('every link to a file leads somewhere', () => {
    const wrong = broken(prose, (name) =>
      [...read(name).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)]
        .map((match) => normalize(join(dirname(name), match[1] ?? '')))
        .filter((path) => !files.some((file) => file === path || file.startsWith(`${path.replace(/\/$/, '')}/`))),
    )
    expect(wrong).toEqual([])
  })

  test('no path of a developer machine', () => {
    const wrong = broken(
      [...textOf.keys()].filter((name) => name !== 'test/tidy.test.ts'),
      (name) => (/\/(work|root|home\/\w+)\/(main|shared|\.)/.test(read(name)) ? 'names a local path' : undefined),
    )
    expect(wrong).toEqual([])
  })
})
