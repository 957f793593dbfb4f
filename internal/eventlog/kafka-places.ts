// Where a consumer reads: for each partition that is its own now, the next offset wanted and the last one of interest.

/** One partition for as long as one assignment lasts. */
export interface Place {
  topic: string
  partition: number
  /** Resolves when `next` is known. */
  ready: Promise<void>
  /** Where reading began; Infinity until that is known. */
  start: number
  /** First offset that the caller does not have. */
  next: number
  /** Offset to stop before; Infinity: never. */
  end: number
  /** Which time the record at `next` is read, as far as that matters: its dead letter tells it. */
  attempts: number
}

export const placeName = (topic: string, partition: number): string => `${topic}/${partition}`

/** The places of the present assignment. A new one makes new places: who holds an old one has lost its partition. */
export class Places {
  #places = new Map<string, Place>()
  #assigned = false

  assign(places: readonly Place[]): void {
    this.#places = new Map(places.map((place) => [placeName(place.topic, place.partition), place]))
    this.#assigned = true
  }

  get all(): Place[] {
    return [...this.#places.values()]
  }

  at(topic: string, partition: number): Place | undefined {
    return this.#places.get(placeName(topic, partition))
  }

  holds(place: Place): boolean {
    return this.at(place.topic, place.partition) === place
  }

  /** True when nothing is left to read before the ends. A place that is not ready has `next` of -1. */
  get finished(): boolean {
    return this.#assigned && [...this.#places.values()].every(({ next, end }) => next >= end)
  }
}
