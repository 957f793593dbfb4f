// A private Prometheus and its Alertmanager: Debian's programs, unpacked below .cache, on free ports of loopback, gone with the test.

import { execFile, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { closeSync, existsSync, openSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

const CACHE = join(import.meta.dirname, '../../.cache')
const HOME = join(CACHE, 'prometheus')
/** Debian's Alertmanager does not start without its templates, which it looks for here only. */
const TEMPLATES = '/usr/share/prometheus/alertmanager/default.tmpl'
const isInstalled = () => existsSync(join(HOME, 'complete')) && existsSync(TEMPLATES)
const READY_MS_MAX = 30_000
const POLL_MS = 50

const run = promisify(execFile)

/** Why there can be none on this machine, or undefined. */
export function prometheusUnavailable(): string | undefined {
  if (isInstalled()) return undefined
  const missing = ['apt-get', 'dpkg'].find((name) => spawnSync('sh', ['-c', `command -v ${name}`]).status !== 0)
  return missing === undefined ? undefined : `no Prometheus, and no ${missing} to fetch it`
}

/** Fetches both if this is the first time. One process at a time installs; the others find it done. */
export async function installPrometheus(): Promise<void> {
  if (isInstalled()) return
  await mkdir(CACHE, { recursive: true })
  const script = join(import.meta.dirname, 'prometheus-install.sh')
  await run('flock', [join(CACHE, 'prometheus.lock'), 'sh', script, HOME])
}

/** Runs promtool. Rejects with what it printed when it is not content. */
export async function promtool(...args: string[]): Promise<string> {
  await installPrometheus()
  try {
    return (await run(join(HOME, 'promtool'), args, { maxBuffer: 16 << 20 })).stdout
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
    throw new Error(`promtool ${args.join(' ')}:\n${stdout}${stderr}`, { cause: error })
  }
}

/** A sample of an instant query. */
export interface Sample {
  labels: Record<string, string>
  value: number
}

/** An alert as a rule has it now. */
export interface ActiveAlert {
  name: string
  state: 'pending' | 'firing'
  labels: Record<string, string>
}

export interface Prometheus {
  url: string
  /** Where Alertmanager listens. */
  alertmanager: string
  query(expression: string): Promise<Sample[]>
  alerts(): Promise<ActiveAlert[]>
  /** What is wrong with rules, by their names; empty when all could be evaluated. */
  broken(): Promise<string[]>
  stop(): Promise<void>
}

export interface PrometheusOptions {
  /** `host:port` by job. */
  targets: Readonly<Record<string, readonly string[]>>
  /** Texts of rule files. */
  rules: readonly string[]
  /** Between two scrapes and two evaluations, milliseconds. */
  everyMs: number
  /** Told of alerts by Alertmanager: firing and resolved. */
  webhook: string
  /** OpenMetrics text of the past, to be there from the start. */
  past?: string
}

/** Starts both. Rejects with the end of a log when one does not come up. */
export async function startPrometheus(options: PrometheusOptions): Promise<Prometheus> {
  await installPrometheus()
  const dir = await mkdtemp(join(tmpdir(), 'prometheus-'))
  const [port, alertPort] = [await freePort(), await freePort()]
  const children: ChildProcess[] = []
  const stop = async () => {
    await Promise.all(children.map(end))
    await rm(dir, { recursive: true, force: true, maxRetries: 5 })
  }
  try {
    await configure(dir, alertPort, options)
    if (options.past !== undefined) await backfill(dir, options.past)
    const url = `http://127.0.0.1:${port}`
    const alertmanager = `http://127.0.0.1:${alertPort}`
    children.push(
      launch(dir, 'prometheus-alertmanager', [
        `--config.file=${join(dir, 'alertmanager.yml')}`,
        `--storage.path=${join(dir, 'alertmanager')}`,
        `--web.listen-address=127.0.0.1:${alertPort}`,
        '--cluster.listen-address=',
      ]),
      launch(dir, 'prometheus', [
        `--config.file=${join(dir, 'prometheus.yml')}`,
        `--storage.tsdb.path=${join(dir, 'data')}`,
        '--storage.tsdb.retention.time=60d',
        `--web.listen-address=127.0.0.1:${port}`,
        '--rules.alert.resend-delay=1s',
      ]),
    )
    await Promise.all([ready(dir, 'prometheus', url), ready(dir, 'prometheus-alertmanager', alertmanager)])
    return { url, alertmanager, ...asking(url), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

function asking(url: string): Pick<Prometheus, 'query' | 'alerts' | 'broken'> {
  const get = async (path: string): Promise<unknown> => {
    const answer = (await (await fetch(`${url}/api/v1/${path}`)).json()) as { data?: unknown; error?: string }
    if (answer.data === undefined) throw new Error(`${path}: ${answer.error}`)
    return answer.data
  }
  return {
    async query(expression) {
      const { result } = (await get(`query?query=${encodeURIComponent(expression)}`)) as {
        result: { metric: Record<string, string>; value: [number, string] }[]
      }
      return result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }))
    },
    async alerts() {
      const { alerts } = (await get('alerts')) as {
        alerts: { labels: Record<string, string>; state: 'pending' | 'firing' }[]
      }
      return alerts.map(({ labels, state }) => ({ name: labels['alertname'] ?? '', state, labels }))
    },
    async broken() {
      const { groups } = (await get('rules')) as { groups: { rules: { name: string; lastError?: string }[] }[] }
      return groups
        .flatMap(({ rules }) => rules)
        .flatMap(({ name, lastError = '' }) => (lastError === '' ? [] : [`${name}: ${lastError}`]))
    },
  }
}

/** JSON is YAML. */
async function configure(dir: string, alertPort: number, options: PrometheusOptions): Promise<void> {
  const { targets, rules, everyMs, webhook } = options
  const files = rules.map((_, at) => join(dir, `rules-${at}.yml`))
  for (const [at, text] of rules.entries()) await writeFile(files[at] ?? '', text)
  const every = `${everyMs}ms`
  const prometheus = {
    global: { scrape_interval: every, scrape_timeout: every, evaluation_interval: every },
    rule_files: files,
    alerting: { alertmanagers: [{ static_configs: [{ targets: [`127.0.0.1:${alertPort}`] }] }] },
    scrape_configs: Object.entries(targets).map(([job_name, places]) => ({
      job_name,
      static_configs: [{ targets: places }],
    })),
  }
  const alertmanager = {
    route: { receiver: 'test', group_by: ['...'], group_wait: '100ms', group_interval: '500ms', repeat_interval: '1h' },
    receivers: [{ name: 'test', webhook_configs: [{ url: webhook, send_resolved: true }] }],
  }
  await writeFile(join(dir, 'prometheus.yml'), JSON.stringify(prometheus))
  await writeFile(join(dir, 'alertmanager.yml'), JSON.stringify(alertmanager))
}

/** Puts samples of the past where Prometheus finds them at its start. */
async function backfill(dir: string, text: string): Promise<void> {
  const file = join(dir, 'past.txt')
  await writeFile(file, text)
  await mkdir(join(dir, 'data'), { recursive: true })
  await promtool('tsdb', 'create-blocks-from', 'openmetrics', '--quiet', file, join(dir, 'blocks'))
  await cp(join(dir, 'blocks'), join(dir, 'data'), { recursive: true })
}

function launch(dir: string, name: string, args: readonly string[]): ChildProcess {
  const log = openSync(join(dir, `${name}.log`), 'a')
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', join(HOME, name), ...args], {
    cwd: dir,
    stdio: ['ignore', log, log],
  })
  closeSync(log)
  return child
}

async function ready(dir: string, name: string, url: string): Promise<void> {
  for (const began = performance.now(); performance.now() - began < READY_MS_MAX; await sleep(POLL_MS)) {
    const is = await fetch(`${url}/-/ready`).then(
      ({ ok }) => ok,
      () => false,
    )
    if (is) return
  }
  throw new Error(`${name} did not start:\n${(await readFile(join(dir, `${name}.log`), 'utf8')).slice(-4000)}`)
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await gone
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
