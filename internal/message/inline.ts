// Images that are shown within the text, and so are no files that came with it (R18).

import { decodeText, type Range } from './decode.ts'
import { LIMITS } from './limits.ts'
import { isNamed, type Part } from './structure.ts'
import { isHtml } from './text.ts'
import { isFileSystemError } from './trouble.ts'

/** A reference to another part of the message (RFC 2392 2). */
const CID = /\bcid:([^\s"'<>)]{1,998})/gi

/**
 * Which of `leaves` are images of the text. A photo that is said to be inline, as some programs say of every picture, and has a name
 * is a file unless the HTML shows it.
 */
export async function inlineImages(leaves: readonly Part[], range: (part: Part) => Range): Promise<Set<Part>> {
  const images = leaves.filter(
    (part) => part.type.value.startsWith('image/') && part.disposition.value !== 'attachment',
  )
  const [photos, others] = [images.filter(isPhoto), images.filter((part) => !isPhoto(part))]
  const inline = new Set(others.filter((part) => part.disposition.value === 'inline' || isPartOfHtml(part)))
  const asked = photos.filter((part) => part.contentId !== '')
  if (asked.length === 0) return inline
  const shown = await shownIds(leaves.filter(isHtml), range)
  for (const part of asked) if (shown === 'unknown' || shown.has(part.contentId)) inline.add(part)
  return inline
}

const isPhoto = (part: Part): boolean => part.disposition.value === 'inline' && isNamed(part)

/** RFC 2387 1. */
function isPartOfHtml(part: Part): boolean {
  if (part.contentId === '') return false
  for (let up = part.parent; up; up = up.parent) if (up.type.value === 'multipart/related') return true
  return false
}

/** Content-IDs that the HTML refers to; `unknown` where not all of it could be read. */
async function shownIds(htmls: readonly Part[], range: (part: Part) => Range): Promise<Set<string> | 'unknown'> {
  const ids = new Set<string>()
  let left: number = LIMITS.textInBytesMax
  for (const part of htmls) {
    const { start, end } = range(part)
    left -= end - start
    if (left < 0) return 'unknown'
    const html = await decodeText(part, range(part)).catch((thrown: unknown) => {
      if (isFileSystemError(thrown)) throw thrown
      return undefined
    })
    if (html === undefined) return 'unknown'
    for (const [, id = ''] of html.text.matchAll(CID)) ids.add(decoded(id.replaceAll('&amp;', '&')))
  }
  return ids
}

/** Undoes percent encoding (RFC 2392 2) where it is one. */
function decoded(id: string): string {
  try {
    return decodeURIComponent(id)
  } catch {
    return id
  }
}
