// Spans to a collector by OTLP. Endpoint, headers, timeouts and batches are read by the library from their standard variables.

import {
  diag,
  DiagLogLevel,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Span as OtelSpan,
  type SpanContext,
} from '@opentelemetry/api'
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { OTLPTraceExporter as ProtobufExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources'
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  RandomIdGenerator,
  TraceIdRatioBasedSampler,
  TracerProvider,
  type IdGenerator,
  type Sampler,
} from '@opentelemetry/sdk-trace'
import type { Log, Span, Tracer } from '../ports/ports.ts'
import { TracesError, type Traces } from './traces.ts'

/** A collector that does not answer holds up no stop for longer. */
const CLOSE_MS = 2000

/** Of the flags (W3C Trace Context 3.2.2.5.1). */
const SAMPLED = 1

const UNSENT = 'spans could not be sent'

const EXPORTERS = {
  'http/protobuf': () => new ProtobufExporter(),
  'http/json': () => new JsonExporter(),
} as const

const ratio = (text: string): number => {
  const value = text === '' ? 1 : Number(text)
  if (value >= 0 && value <= 1) return value
  throw new TracesError(`OTEL_TRACES_SAMPLER_ARG: must be from 0 to 1, got ${JSON.stringify(text)}`)
}

const SAMPLERS: Readonly<Record<string, (argument: string) => Sampler>> = {
  always_on: () => new AlwaysOnSampler(),
  always_off: () => new AlwaysOffSampler(),
  traceidratio: (argument) => new TraceIdRatioBasedSampler(ratio(argument)),
  parentbased_always_on: () => new ParentBasedSampler({ root: new AlwaysOnSampler() }),
  parentbased_always_off: () => new ParentBasedSampler({ root: new AlwaysOffSampler() }),
  parentbased_traceidratio: (argument) =>
    new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio(argument)) }),
}

/** Names of spans that are more than a step inside the process. */
const KINDS: Readonly<Record<string, SpanKind>> = {
  'smtp transaction': SpanKind.SERVER,
  publish: SpanKind.PRODUCER,
  index: SpanKind.CONSUMER,
  'put object': SpanKind.CLIENT,
}

/** `of`: a standard variable by its name, empty where it is not set. Throws TracesError for a value that is not known. */
export function otlpTraces(
  of: (name: string) => string,
  about: { service: string; version: string; log: Log },
): Traces {
  const { service, version, log } = about
  quietly(log)
  const ids = new GivenIds()
  const named = resourceFromAttributes({
    'service.name': service,
    'service.namespace': 'mail-ingest',
    'service.version': version,
  })
  const provider = new TracerProvider({
    // What the variables say comes over what the program calls itself.
    resource: named.merge(detectResources({ detectors: [envDetector] })),
    sampler: chosen(
      SAMPLERS,
      'OTEL_TRACES_SAMPLER',
      of('OTEL_TRACES_SAMPLER') || 'parentbased_always_on',
    )(of('OTEL_TRACES_SAMPLER_ARG')),
    idGenerator: ids,
    spanProcessors: [new BatchSpanProcessor({ exporter: exporterOf(of)(), ...batches(of) })],
  })
  const otel = provider.getTracer('mail-ingest', version)
  const tracer: Tracer = {
    root: (name, traceparent) => {
      const made = ids.given(contextOf(traceparent), () => otel.startSpan(name, { kind: kindOf(name) }, ROOT_CONTEXT))
      return spanOf(made)
    },
    span: (name, traceparent, link) => {
      const links = link === undefined ? [] : [{ context: contextOf(link) }]
      const parent = trace.setSpanContext(ROOT_CONTEXT, contextOf(traceparent))
      return spanOf(otel.startSpan(name, { kind: kindOf(name), links }, parent))
    },
  }
  const late = () => new Promise<void>((resolve) => setTimeout(resolve, CLOSE_MS).unref())
  const sent = () => provider.shutdown().catch((error: unknown) => log.warn({ detail: messageOf(error) }, UNSENT))
  return { tracer, close: () => Promise.race([sent(), late()]) }
}

const kindOf = (name: string): SpanKind => KINDS[name] ?? SpanKind.INTERNAL

function exporterOf(of: (name: string) => string) {
  const variable = 'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL'
  const protocol = of(variable) || of('OTEL_EXPORTER_OTLP_PROTOCOL') || 'http/protobuf'
  return chosen(EXPORTERS, 'OTEL_EXPORTER_OTLP_PROTOCOL', protocol)
}

function chosen<T>(table: Readonly<Record<string, T>>, variable: string, name: string): T {
  const found = Object.hasOwn(table, name) ? table[name] : undefined
  if (found === undefined)
    throw new TracesError(`${variable}: must be one of ${Object.keys(table).join(', ')}, got ${JSON.stringify(name)}`)
  return found
}

/** OTEL_BSP_…, which this version of the library leaves to its user. */
function batches(of: (name: string) => string) {
  const whole = (name: string) => {
    const text = of(name)
    if (text === '') return undefined
    if (/^\d{1,9}$/.test(text)) return Number(text)
    throw new TracesError(`${name}: must be a whole number, got ${JSON.stringify(text)}`)
  }
  const options = {
    scheduledDelayMillis: whole('OTEL_BSP_SCHEDULE_DELAY'),
    exportTimeoutMillis: whole('OTEL_BSP_EXPORT_TIMEOUT'),
    maxQueueSize: whole('OTEL_BSP_MAX_QUEUE_SIZE'),
    maxExportBatchSize: whole('OTEL_BSP_MAX_EXPORT_BATCH_SIZE'),
  }
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}

/** A collector that is away is one line of the log at a time, and nobody else's trouble. */
function quietly(log: Log): void {
  const warn = (message: string) => log.warn({ detail: message.slice(0, 500) }, UNSENT)
  const nothing = (): void => {}
  diag.setLogger({ error: warn, warn, info: nothing, debug: nothing, verbose: nothing }, DiagLogLevel.WARN)
}

/** Random ids, or those of a context that exists before its span. */
class GivenIds implements IdGenerator {
  readonly #random = new RandomIdGenerator()
  #next: SpanContext | undefined

  given<T>(context: SpanContext, start: () => T): T {
    this.#next = context
    try {
      return start()
    } finally {
      this.#next = undefined
    }
  }

  generateTraceId(): string {
    return this.#next?.traceId ?? this.#random.generateTraceId()
  }

  generateSpanId(): string {
    return this.#next?.spanId ?? this.#random.generateSpanId()
  }
}

/** W3C Trace Context 3.2.2: `00-<trace id>-<span id>-<flags>`. */
function contextOf(traceparent: string): SpanContext {
  const [, traceId = '', spanId = '', flags = '00'] = traceparent.split('-')
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & SAMPLED, isRemote: true }
}

function spanOf(span: OtelSpan): Span {
  const { traceId, spanId, traceFlags } = span.spanContext()
  return {
    traceparent: `00-${traceId}-${spanId}-${(traceFlags & SAMPLED) === 0 ? '00' : '01'}`,
    end(facts = {}, error) {
      for (const [name, value] of Object.entries(facts))
        if (value !== undefined) span.setAttribute(`mail_ingest.${name}`, value)
      if (error !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: kindOfError(error) })
      span.end()
    },
  }
}

/** Its code or name: a message may hold an address or a tenant. */
function kindOfError(error: unknown): string {
  if (!(error instanceof Error)) return typeof error
  return 'code' in error ? String(error.code) : error.name
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).slice(0, 500)
