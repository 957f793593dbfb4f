// Mail of a tenant that was erased: it was in a spool then, or is told of again.

import type { BlobStore } from '../blob/blob.ts'
import { attachmentKey } from '../envelope/envelope.ts'
import type { Judgement, Received } from './facts.ts'

/** Removes what came to the object store since; `judgement` says which attachments were put. */
export async function eraseObjects(
  blobs: Pick<BlobStore, 'delete'>,
  { data }: Received,
  judgement?: Judgement,
): Promise<void> {
  const attachments = judgement?.kind === 'parsed' ? judgement.message.attachments : []
  const others = attachments.map(({ sha256 }) => attachmentKey(data.tenant, sha256))
  for (const key of [data.metaKey, data.rawKey, ...others]) await blobs.delete(key)
}
