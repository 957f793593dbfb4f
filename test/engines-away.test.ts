// What a stage says and does while its engines are away. They are listeners that take connections and never answer, or nobody.

import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { writeFileSync } from 'node:fs'
import { expect, onTestFinished, test } from 'vitest'
import { mailOf, Session } from './mail.ts'
import { environmentOf, eventually, startProgram, startSystem, temporaryFolder } from './system.ts'

async function frozen(): Promise<string> {
  const server = createServer((socket) => socket.on('error', () => undefined))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise<void>((resolve) => server.close(() => resolve()))
  return port
}

/** What /readyz says once `wanted` is in it. */
function readyz(port: number, wanted: RegExp): Promise<string> {
  const look = async () => {
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined)
    const body = (await answer?.text()) ?? ''
    return answer?.status === 503 && wanted.test(body) ? body : undefined
  }
  return eventually(look, 30_000, `${wanted} in /readyz`)
}

test('uploaderd with frozen engines says so on /readyz, stays alive, and ends within 10 s of SIGTERM', async () => {
  const dataDir = temporaryFolder()
  // A mail that could not leave the spool, so that there is work under way.
  const system = await startSystem(dataDir)
  writeFileSync(join(dataDir, 'objects'), 'no directory')
  const session = await Session.open(system.smtpPort)
  expect(await session.send('ann@sender.example', ['orders+acme@mail.localhost'], mailOf('one', 2000))).toMatch(/^250 /)
  session.close()
  expect(await system.stop()).toBe(0)

  const port = await freePort()
  const settings = {
    METRICS_LISTEN: `127.0.0.1:${port}`,
    OBJECT_STORE_URL: `s3://mail?endpoint=http://${await frozen()}&pathStyle=true&region=us-east-1`,
    EVENT_LOG_URL: `kafka://${await frozen()}`,
    AWS_ACCESS_KEY_ID: 'key',
    AWS_SECRET_ACCESS_KEY: 'hush',
  }
  const { child, exited } = startProgram('uploaderd', environmentOf(dataDir, settings))
  const said = await readyz(port, /"object store":"since .*"event log":"since /)
  expect(said).not.toContain('hush')
  expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200)
  const began = performance.now()
  child.kill('SIGTERM')
  expect(await exited).toBe(0)
  expect(performance.now() - began).toBeLessThan(10_000)
})

test.each(['uploaderd', 'indexerd'])(
  '%s waits for a database that nobody serves yet, and ends at SIGTERM',
  async (name) => {
    const [port, database] = [await freePort(), await freePort()]
    const settings = {
      METRICS_LISTEN: `127.0.0.1:${port}`,
      DATABASE_URL: `postgresql://mail:hush@127.0.0.1:${database}/mail`,
    }
    const { child, exited, lines } = startProgram(name, environmentOf(temporaryFolder(), settings))
    const said = await readyz(port, /"start":"waits for DATABASE_URL: .*ECONNREFUSED/)
    expect(said + lines.join()).not.toContain('hush')
    expect(lines.join()).toContain('the start waits for it')
    child.kill('SIGTERM')
    expect(await exited).toBe(0)
  },
)
