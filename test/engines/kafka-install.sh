#!/bin/sh
# kafka-install.sh VERSION DIR: the jars of Apache Kafka in DIR/libs, what a fresh node needs to know in DIR/*.checkpoint, and
# DIR/classes.jsa, which makes the JVM start three times as fast. Does nothing if all of it is there.
set -eu
version=$1 dir=$2
[ -f "$dir/complete" ] && exit 0

missing=''
command -v java >/dev/null || missing="default-jre-headless"
command -v mvn >/dev/null || missing="$missing maven"
command -v openssl >/dev/null || missing="$missing openssl"
if [ -n "$missing" ]; then
  # shellcheck disable=SC2086
  sh "$(dirname "$0")/apt-install.sh" $missing >&2
fi

mkdir -p "$dir"
cd "$dir"
# kafka-tools-api: the pom of 4.4.0 names it, Maven Central lacks it, the broker does not use it.
# slf4j-simple: the log goes to stderr, without any configuration.
cat >pom.xml <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version>
      <exclusions><exclusion><groupId>org.apache.kafka</groupId><artifactId>kafka-tools-api</artifactId></exclusion></exclusions>
    </dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
POM
# The plugin's version is given: the default of Debian's Maven takes half as long again.
[ -d libs ] || {
  mvn -q -B -ntp org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DoutputDirectory="$dir/libs.part" -DincludeScope=runtime >&2
  mv libs.part libs
}

# A node's first start needs meta.properties, which is written by hand, and the feature levels, which this makes once.
format() {
  name=$1
  shift
  rm -rf format && mkdir format
  cat >format/server.properties <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:9093
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$dir/format/data
PROPERTIES
  java -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp 'libs/*' \
    kafka.tools.StorageTool format -t MkU3OEVBNTcwNTJENDM2Qk -c format/server.properties "$@" >&2
  mv format/data/bootstrap.checkpoint "$name.checkpoint"
  rm -rf format
}
format plain
format scram --add-scram 'SCRAM-SHA-512=[name=admin,password=admin-secret]' \
  --add-scram 'SCRAM-SHA-512=[name=ingest,password=ingest-secret]'
touch complete
