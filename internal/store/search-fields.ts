// What is searched of a message.

/** Columns of the search index. */
export const SEARCH_FIELDS = ['subject', 'sender', 'recipients', 'filenames', 'body'] as const
export type SearchField = (typeof SEARCH_FIELDS)[number]

/** The text of one message by field. */
export type SearchText = Record<SearchField, string>
