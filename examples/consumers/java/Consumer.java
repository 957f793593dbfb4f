// Reads the events of every topic. What it knows of them is in the AsyncAPI document that it is given.
//
//   java -cp 'libs/*' Consumer.java BROKERS ASYNCAPI.json GROUP
//
// KAFKA_USERNAME, KAFKA_PASSWORD and KAFKA_CA (a file) are for brokers that want TLS and a login.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.networknt.schema.JsonSchema;
import com.networknt.schema.JsonSchemaFactory;
import com.networknt.schema.SpecVersion;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.StringDeserializer;

public class Consumer {
  static final ObjectMapper JSON = new ObjectMapper();
  static final JsonSchemaFactory SCHEMAS = JsonSchemaFactory.getInstance(SpecVersion.VersionFlag.V202012);

  /** Ids that were handled. A real consumer keeps them in its database, written in the transaction of its effects. */
  static final Set<String> handled = new HashSet<>();

  /** A type of event; it is told by those headers that are constant. */
  record Type(String name, String contentType, Map<String, String> constant, JsonSchema key, JsonSchema headers, JsonSchema value) {
    static Type of(JsonNode message) {
      Map<String, String> constant = new HashMap<>();
      for (var property : message.get("headers").get("properties").properties())
        if (property.getValue().has("const")) constant.put(property.getKey(), property.getValue().get("const").asText());
      return new Type(
          message.get("name").asText(),
          message.get("contentType").asText(),
          constant,
          SCHEMAS.getSchema(message.get("bindings").get("kafka").get("key")),
          SCHEMAS.getSchema(message.get("headers")),
          SCHEMAS.getSchema(message.get("payload")));
    }

    boolean matches(Map<String, String> given) {
      return constant.entrySet().stream().allMatch(each -> each.getValue().equals(given.get(each.getKey())));
    }

    void check(String part, JsonSchema schema, JsonNode given) {
      var problems = schema.validate(given);
      if (!problems.isEmpty()) throw new IllegalArgumentException(part + " of " + name + ": " + problems);
    }
  }

  public static void main(String[] arguments) throws Exception {
    JsonNode document = JSON.readTree(new File(arguments[1]));
    Map<String, List<Type>> topics = new HashMap<>();
    for (JsonNode channel : document.get("channels")) {
      List<Type> types = new ArrayList<>();
      for (JsonNode message : channel.get("messages")) types.add(Type.of(resolved(document, message)));
      topics.put(channel.get("address").asText(), types);
    }

    Map<String, Object> settings = new HashMap<>();
    settings.put("bootstrap.servers", arguments[0]);
    settings.put("group.id", arguments[2]);
    settings.put("auto.offset.reset", "earliest");
    settings.put("enable.auto.commit", false);
    if (System.getenv("KAFKA_USERNAME") != null)
      settings.putAll(login(resolved(document, document.get("servers").get("secured").get("security").get(0))));

    try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
      Thread reader = Thread.currentThread();
      Runtime.getRuntime().addShutdownHook(new Thread(() -> {
        consumer.wakeup();
        try {
          reader.join();
        } catch (InterruptedException ended) {
          Thread.currentThread().interrupt();
        }
      }));
      consumer.subscribe(topics.keySet());
      while (true) {
        var records = consumer.poll(Duration.ofSeconds(1));
        for (var record : records) System.out.println(JSON.writeValueAsString(handle(topics.get(record.topic()), record)));
        if (!records.isEmpty()) consumer.commitSync();
      }
    } catch (WakeupException stopped) {
      // A signal; what was handled is committed, and closing has left the group.
    }
  }

  static Map<String, Object> handle(List<Type> types, ConsumerRecord<String, String> record) throws Exception {
    Map<String, String> headers = new HashMap<>();
    record.headers().forEach(header -> headers.put(header.key(), new String(header.value(), StandardCharsets.UTF_8)));
    Map<String, Object> line = new HashMap<>();
    line.put("topic", record.topic());
    line.put("partition", record.partition());
    line.put("offset", record.offset());
    Type type = types.stream().filter(each -> each.matches(headers)).findFirst().orElse(null);
    if (type == null) {
      line.put("skipped", headers.get("ce_type"));
      return line;
    }
    if (!headers.getOrDefault("content-type", "").startsWith(type.contentType()))
      throw new IllegalArgumentException("content type of " + type.name());
    type.check("key", type.key(), JSON.valueToTree(record.key()));
    type.check("headers", type.headers(), JSON.valueToTree(headers));
    type.check("value", type.value(), JSON.readTree(record.value()));
    String id = headers.get("ce_id");
    boolean duplicate = !handled.add(id); // This is where the effect would be, if it is no duplicate.
    line.put("type", type.name());
    line.put("id", id);
    line.put("key", record.key());
    line.put("tenant", headers.get("ce_tenant"));
    line.put("duplicate", duplicate);
    line.put("replay", headers.get("ce_replayid"));
    return line;
  }

  static JsonNode resolved(JsonNode document, JsonNode reference) {
    return document.at(reference.get("$ref").asText().substring(1));
  }

  /** TLS and the kind of login that the document has for its secured server. */
  static Map<String, Object> login(JsonNode scheme) {
    String mechanism = Map.of("scramSha512", "SCRAM-SHA-512").get(scheme.get("type").asText());
    return Map.of(
        "security.protocol", "SASL_SSL",
        "ssl.truststore.type", "PEM",
        "ssl.truststore.location", System.getenv("KAFKA_CA"),
        "sasl.mechanism", mechanism,
        "sasl.jaas.config",
        "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"%s\" password=\"%s\";"
            .formatted(System.getenv("KAFKA_USERNAME"), System.getenv("KAFKA_PASSWORD")));
  }
}
