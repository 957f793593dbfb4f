// kafkajs 2.2.4 looks into every empty request queue each millisecond, for ever, with a timer of a negative time
// (tulios/kafkajs#1751, open): 3 % of a core for an idle process, and a warning at every start. An empty queue needs no look:
// whatever fills it asks for one itself.

import { createRequire } from 'node:module'

interface RequestQueue {
  pending: unknown[]
  scheduleCheckPendingRequests: (this: RequestQueue) => void
}

const require = createRequire(import.meta.url)

let cured = false

/** Makes idle connections of kafkajs quiet, in the whole process. Throws if kafkajs is not built as it was. */
export function cureIdleLoop(): void {
  if (cured) return
  const { prototype } = require('kafkajs/src/network/requestQueue/index.js') as { prototype: RequestQueue }
  const schedule = prototype.scheduleCheckPendingRequests
  if (typeof schedule !== 'function')
    throw new TypeError('this kafkajs has another request queue; look at kafka-quiet.ts')
  prototype.scheduleCheckPendingRequests = function (this: RequestQueue) {
    if (this.pending.length > 0) schedule.call(this)
  }
  cured = true
}
