// Makes the reader's position durable and removes what is done, in the order that a power cut may fall into anywhere:
//
//   position durable -> bodies in large/ removed, durably -> segments removed, durably -> forgotten
//
// A body goes only after the position that has its frame done, or a restart would find a frame without its body. A segment goes only
// after the bodies it names, or a recovering writer would find bodies without their frame.
import { isMissing, isNoSpace } from './fault.ts'
import type { Tracked } from './follow.ts'
import type { Fs } from './fs.ts'
import type { Layout } from './layout.ts'
import { writePosition, type Position } from './position.ts'

interface SweepOptions {
  fs: Fs
  layout: Layout
  position: Position
  /** Segments of which all is done, as of now. */
  whole: readonly Tracked[]
}

/** Resolves with the segments that are gone. */
export async function sweep(options: SweepOptions): Promise<readonly Tracked[]> {
  const { fs, layout, position, whole } = options
  const unlink = [...position.unlink]
  try {
    await writePosition(fs, layout, position)
    await removeLarge(options, unlink)
    await removeSegments(options)
  } catch (error) {
    if (!isNoSpace(error)) throw error
    // No room even for the position: free what can be freed without it. A crash now leaves bodies without a frame, set aside later.
    await removeSegments(options)
    const gone = new Set(whole.map(({ segment }) => segment.name))
    const unnamed = unlink.filter(([, segment]) => gone.has(segment))
    await removeLarge(options, unnamed)
  }
  return whole
}

async function removeLarge({ fs, layout, position }: SweepOptions, unlink: [string, string][]): Promise<void> {
  if (unlink.length === 0) return
  for (const [id] of unlink) await remove(fs, `${layout.large}/${id}`)
  await fs.syncDirectory(layout.large)
  for (const [id] of unlink) position.unlink.delete(id)
}

async function removeSegments({ fs, layout, position, whole }: SweepOptions): Promise<void> {
  if (whole.length === 0) return
  for (const { segment } of whole) await remove(fs, `${layout.log}/${segment.name}`)
  await fs.syncDirectory(layout.log)
  for (const { segment } of whole) position.done.delete(segment.name)
}

async function remove(fs: Fs, path: string): Promise<void> {
  try {
    await fs.unlink(path)
  } catch (error) {
    if (!isMissing(error)) throw error
  }
}
