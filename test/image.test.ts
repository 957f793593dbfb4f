// What the container would run, without a container engine: the lines of deploy/Dockerfile are carried out in a folder, and the
// programs started in namespaces of their own, where all but DATA_DIR and /tmp is read-only, as the image's user and without a right.

import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { eventually } from './system.ts'

const PLACE = '/srv/mail-ingest'
const dockerfile = readFileSync('deploy/Dockerfile', 'utf8').replaceAll('\\\n', ' ')
const [first = '', last = ''] = dockerfile.split(/^FROM .*$/m).slice(1)
const linesOf = (stage: string, word: string): string[] =>
  [...stage.matchAll(new RegExp(`^${word} (.+)$`, 'gm'))].map((match) => (match[1] ?? '').trim())
const [user = '', group = ''] = (linesOf(last, 'USER')[0] ?? '').split(':')
const environment = Object.fromEntries(
  [...(linesOf(last, 'ENV')[0] ?? '').matchAll(/(\w+)=(\S+)/g)].map(([, name = '', value = '']) => [name, value]),
)

/** What .dockerignore leaves out. */
const kept = (path: string): boolean => !/\.test\.ts$|\/(testing|node_modules)(\/|$)/.test(path)

function copyInto(folder: string, line: string): void {
  const words = line.split(' ')
  const to = join(folder, words.at(-1) ?? '')
  for (const from of words.slice(0, -1)) {
    const into = line.endsWith('/') ? join(to, basename(from)) : to
    mkdirSync(dirname(into), { recursive: true })
    cpSync(from, into, { recursive: true, filter: kept })
  }
}

/** Carries out both stages; resolves with the folder that is /srv/mail-ingest in the image. */
function build(folder: string): void {
  mkdirSync(folder, { recursive: true })
  for (const line of linesOf(first, 'COPY')) copyInto(folder, line)
  const { PATH = '', HOME = '' } = process.env
  const env = { PATH, HOME, NODE_USE_SYSTEM_CA: '1', npm_config_prefer_offline: 'true' }
  for (const line of linesOf(first, 'RUN')) execFileSync('sh', ['-ec', line], { cwd: folder, env, stdio: 'pipe' })
  for (const line of linesOf(last, 'COPY').filter((each) => !each.startsWith('--from'))) copyInto(folder, line)
}

/** Namespaces with the image's root, kept by a process that sleeps in them. */
async function openBox(image: string): Promise<ChildProcess> {
  const setup = [
    'ip link set lo up',
    'mount -t tmpfs tmpfs /srv',
    `mkdir ${PLACE}`,
    `mount --bind ${image} ${PLACE}`,
    'mount -t tmpfs tmpfs /var/lib',
    ...linesOf(last, 'RUN'),
    'mount --bind /var/lib/mail-ingest /var/lib/mail-ingest',
    'mount -t tmpfs -o mode=1777 tmpfs /tmp',
    ...['/srv', PLACE, '/var/lib', '/'].map((path) => `mount -o remount,bind,ro ${path} ${path}`),
    'echo open',
    'exec sleep 600',
  ]
  const box = spawn('unshare', ['--mount', '--net', 'sh', '-ec', setup.join('\n')], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(() => void box.kill('SIGKILL'))
  let said = ''
  for (const stream of [box.stdout, box.stderr]) stream.on('data', (chunk: Buffer) => (said += String(chunk)))
  await eventually(async () => {
    if (box.exitCode !== null) throw new Error(said)
    return said.includes('open') ? true : undefined
  })
  return box
}

/** The command line of `docker run … COMMAND` in the box. */
function inside(box: ChildProcess, command: readonly string[], settings: Record<string, string> = {}): string[] {
  const enter = ['nsenter', `--target=${box.pid}`, '--mount', '--net']
  const nobody = ['setpriv', `--reuid=${user}`, `--regid=${group}`, '--clear-groups', '--no-new-privs']
  const variables = Object.entries({ ...environment, ...settings }).map(([name, value]) => `${name}=${value}`)
  return [
    ...enter,
    ...nobody,
    '--bounding-set=-all',
    '--inh-caps=-all',
    'env',
    '-i',
    `--chdir=${PLACE}`,
    ...variables,
    ...command,
  ]
}

function run(box: ChildProcess, command: readonly string[], settings?: Record<string, string>) {
  const [program = '', ...args] = inside(box, command, settings)
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' })
  return { status, stdout, stderr }
}

function start(box: ChildProcess, program: string, settings: Record<string, string>): ChildProcess {
  const [enter = '', ...args] = inside(box, ['node', `cmd/${program}.ts`], settings)
  const child = spawn(enter, args, { stdio: ['ignore', 'ignore', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

const SMTPD = { METRICS_LISTEN: '127.0.0.1:9090' }
const UPLOADERD = { METRICS_LISTEN: '127.0.0.1:9091' }
const [health = []] = [...last.matchAll(/^HEALTHCHECK .*CMD (\[.*\])$/gm)].map(
  (match) => JSON.parse(match[1] ?? '') as string[],
)

describe.skipIf(process.getuid?.() !== 0)('the image', () => {
  let image: string
  beforeAll(() => {
    image = join(process.cwd(), 'node_modules/.cache/image')
    rmSync(image, { recursive: true, force: true })
    build(image)
    return () => rmSync(image, { recursive: true, force: true })
  }, 300_000)

  test('takes mail as nobody on a read-only root, says that it is well, hands it on, and drains', async () => {
    const box = await openBox(image)
    expect(
      run(box, ['sh', '-c', `id -u; touch ${PLACE}/x /etc/x /var/lib/x; touch /tmp/x /var/lib/mail-ingest/x`]),
    ).toMatchObject({
      status: 0,
      stdout: `${user}\n`,
      stderr: expect.stringMatching(/^(touch: .*Read-only file system\n){3}$/),
    })
    for (const words of ['db migrate', 'domains add mail.localhost', 'tenants add acme'])
      expect(run(box, ['bin/ingestctl', ...words.split(' ')])).toMatchObject({ status: 0 })
    // The object store of one machine is a directory that only the all-in-one makes before its first object.
    expect(run(box, ['mkdir', '-p', '/var/lib/mail-ingest/objects/.tmp'])).toMatchObject({ status: 0 })
    const uploaderd = start(box, 'uploaderd', UPLOADERD)
    const well = (settings: Record<string, string>) =>
      eventually(async () => (run(box, health, settings).status === 0 ? true : undefined)).catch(() => {
        throw new Error(JSON.stringify(run(box, health, settings)))
      })
    await well(UPLOADERD)
    const smtpd = start(box, 'smtpd', SMTPD)
    await well(SMTPD)
    expect(run(box, ['bin/ingestctl', 'send', '--server', '127.0.0.1:2525'])).toMatchObject({ status: 0 })

    // uploaderd is told to go when smtpd has gone and the spool is empty, and not before.
    expect(run(box, ['bin/drain-spool', '2'])).toMatchObject({ status: 1 })
    const gone = new Promise((resolve) => smtpd.once('close', resolve))
    smtpd.kill('SIGTERM')
    expect(await gone).toBe(0)
    expect(run(box, ['bin/drain-spool', '30'])).toMatchObject({ status: 0 })
    const ended = new Promise((resolve) => uploaderd.once('close', resolve))
    uploaderd.kill('SIGTERM')
    expect(await ended).toBe(0)
    expect(run(box, ['sh', '-c', 'ls /var/lib/mail-ingest/objects/acme/*/*/*/*.eml | wc -l'])).toMatchObject({
      stdout: '1\n',
    })
  })
})
