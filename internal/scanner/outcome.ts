// What may come of a scan: a closed set of verdicts, and a closed set of reasons why there is none.

/** `too_large`: over what the scanner looks at, so nobody knows. */
export const VERDICTS = ['clean', 'infected', 'too_large'] as const
export type Verdict =
  | { verdict: 'clean' | 'too_large' }
  /** `signature`: the name of what was found, printable and bounded. */
  | { verdict: 'infected'; signature: string }

/** `unreachable`: no connection, or one that broke. `timeout`: it stands still. `failed`: it answered that it could not scan. */
export const SCANNER_FAULTS = ['unreachable', 'timeout', 'failed'] as const
export type ScannerFault = (typeof SCANNER_FAULTS)[number]

export class ScannerError extends Error {
  readonly fault: ScannerFault

  constructor(fault: ScannerFault, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'ScannerError'
    this.fault = fault
  }
}
