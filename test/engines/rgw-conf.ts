// The settings of a private Ceph cluster on loopback: one monitor, one OSD in memory, one S3 gateway; thrown away after use.

export interface RgwPlaces {
  dir: string
  fsid: string
  monPort: number
  s3Port: number
  /** For TLS, with `server.pem` in `dir`. */
  tlsPort: number
}

/** Bytes of objects that the OSD may hold in memory. */
const STORE_BYTES = 2 * 1024 ** 3

/** The text of ceph.conf. */
export function rgwConf({ dir, fsid, monPort, s3Port, tlsPort }: RgwPlaces): string {
  return `[global]
fsid = ${fsid}
mon host = [v2:127.0.0.1:${monPort}]
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
# No keys between the daemons; S3 requests are signed all the same.
auth cluster required = none
auth service required = none
auth client required = none
# The gateway asks the monitor for "secure" mode, which needs keys, and would wait for ever.
ms mon client mode = crc
ms mon service mode = crc
run dir = ${dir}/run
crash dir = ${dir}/run
log file = ${dir}/log/$name.log
admin socket = ${dir}/run/$name.asok
pid file =
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon warn on pool no redundancy = false
# A full disk of the machine is no reason to stop: nothing is kept on it.
mon data avail crit = 1
mon data avail warn = 2
# By default the daemons gather much of their log in memory, in case they crash: a third of their CPU.
debug default = 0/0
debug ms = 0/0
debug osd = 0/0
debug rgw = 0/0
debug objecter = 0/0
debug bluestore = 0/0
debug monc = 0/0
debug none = 0/0
debug rados = 0/0
debug filestore = 0/0
debug client = 0/0
debug context = 0/0
debug timer = 0/0
debug throttle = 0/0
debug auth = 0/0
debug crush = 0/0
debug tp = 0/0
debug finisher = 0/0
debug objclass = 0/0
debug civetweb = 0/0
debug heartbeatmap = 0/0
debug perfcounter = 0/0
debug buffer = 0/0
debug lockdep = 0/0
# Each new pool is a change of the map: at the default of one a second the first start takes 13 s.
paxos propose interval = 0.05
paxos min wait = 0.01
[mon.a]
mon data = ${dir}/mon
[osd.0]
osd data = ${dir}/osd
osd objectstore = memstore
# It keeps the history of each operation, for people who look for slow ones.
osd enable op tracker = false
# The log by which copies catch up; there are none. Its thousands of entries are trimmed one by one.
osd min pg log entries = 50
osd max pg log entries = 100
osd pg log trim min = 50
memstore device bytes = ${STORE_BYTES}
# The default is a relative path in some builds, and without its classes the gateway ends with (95).
osd class dir = /usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu/rados-classes
[client.rgw]
rgw data = ${dir}/rgw
# tcp_nodelay is off by default, and a small GET on a kept-alive connection then takes 40 ms longer.
rgw frontends = beast endpoint=127.0.0.1:${s3Port} ssl_endpoint=127.0.0.1:${tlsPort} ssl_certificate=${dir}/server.pem tcp_nodelay=1
# A lifecycle "day" of two seconds, so that expiry can be watched.
rgw lc debug interval = 2
rgw lifecycle work time = 00:00-23:59
# By default three workers go through 32 lists of buckets each time: 50 ms of CPU every second.
rgw lc max worker = 1
rgw lc max objs = 1
rgw gc max objs = 4
# All threads wait on one queue: with more of them than cores a request goes through more hands, a fifth more CPU at 64.
rgw thread pool size = 4
`
}
