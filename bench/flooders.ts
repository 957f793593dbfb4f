// A thread of clients that mean no good: sessions that say nothing, content that comes an octet a second, and NOOP after NOOP.

import { connect, type Socket } from 'node:net'
import { isMainThread, parentPort, workerData } from 'node:worker_threads'

export interface Flood {
  port: number
  to: string
  idle: number
  slow: number
  noops: number
}

/** `standing`: idle and slow ones are there. `over`: every NOOP had its reply. */
export type Told = { what: 'standing' } | { what: 'over'; lost: number; noopSeconds: number }

/** Sessions that ask NOOP at one time. */
const FLOODERS = 20
/** Fewer than a listening socket keeps waiting. */
const CONNECTING = 100
const OCTET_MS = 1000
/** Slow ones are not in step with each other. */
const SHARES = 100

if (!isMainThread && parentPort !== null) {
  const port = parentPort
  const flood = workerData as Flood
  const tell = (told: Told) => port.postMessage(told)
  const sockets = await standing(flood)
  tell({ what: 'standing' })
  const began = performance.now()
  await noops(flood)
  const noopSeconds = (performance.now() - began) / 1000
  tell({ what: 'over', lost: sockets.filter(({ destroyed }) => destroyed).length, noopSeconds })
}

/** Opens the idle and the slow sessions; each slow one sends an octet a second from then on. */
async function standing({ port, to, idle, slow }: Flood): Promise<Socket[]> {
  const sockets: Socket[] = []
  while (sockets.length < idle + slow) {
    const some = Math.min(CONNECTING, idle + slow - sockets.length)
    sockets.push(...(await Promise.all(Array.from({ length: some }, () => hello(port)))))
  }
  const slowOnes = sockets.slice(idle)
  for (const socket of slowOnes) {
    socket.write(`MAIL FROM:<ann@sender.example>\r\nRCPT TO:<${to}>\r\nDATA\r\n`)
    while (!/^354 /m.test(await replyOf(socket)));
  }
  let turn = 0
  setInterval(() => {
    turn = (turn + 1) % SHARES
    for (let nth = turn; nth < slowOnes.length; nth += SHARES) slowOnes[nth]?.write('x')
  }, OCTET_MS / SHARES)
  return sockets
}

/** Asks so many times, from a few sessions at a time; a session that is told that it is enough is followed by the next. */
async function noops({ port, noops: count }: Flood): Promise<void> {
  let left = count
  const ask = async () => {
    while (left > 0) {
      const socket = await hello(port)
      while (left > 0 && !socket.destroyed) {
        left -= 1
        socket.write('NOOP\r\n')
        if (!(await replyOf(socket)).startsWith('250')) break
      }
      socket.destroy()
    }
  }
  await Promise.all(Array.from({ length: FLOODERS }, ask))
}

async function hello(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  socket.on('error', () => socket.destroy())
  await replyOf(socket)
  socket.write('EHLO flood.example\r\n')
  await replyOf(socket)
  return socket
}

/** What comes next; empty where the session has ended. */
function replyOf(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    const told = (text: string) => {
      socket.off('data', heard).off('close', gone)
      resolve(text)
    }
    const heard = (octets: Buffer) => told(octets.toString('latin1'))
    const gone = () => told('')
    socket.on('data', heard).on('close', gone)
  })
}
