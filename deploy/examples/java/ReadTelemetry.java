import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Telemetry from Kafka, each reading once and in order: {@code java ReadTelemetry.java KAFKA}.
 *
 * <p>Needs org.apache.kafka:kafka-clients.
 */
public final class ReadTelemetry {
  /** By partition, agent and epoch. */
  private static final Map<String, Long> HIGHEST = new HashMap<>();

  public static void main(String[] args) {
    Map<String, Object> config =
        Map.of(
            "bootstrap.servers", args[0],
            "group.id", args.length > 1 ? args[1] : "telemetry-reader",
            "auto.offset.reset", "earliest",
            "isolation.level", "read_committed");
    try (var consumer =
        new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
      consumer.subscribe(List.of("telemetry"));
      while (true) {
        for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofSeconds(1))) {
          if (isRepeat(record)) continue;
          System.out.printf("%s %s %s%n", header(record, "fl-id"), record.key(), record.value());
        }
      }
    }
  }

  /**
   * What an agent in at_least_once mode sent again after a crash. fl-id is agent/epoch/offset, and offsets
   * ascend within a partition: one number for each agent and epoch is all there is to remember.
   */
  private static boolean isRepeat(ConsumerRecord<String, String> record) {
    // A dead letter that was sent again keeps its old id, and comes late by intention.
    if (header(record, "fl-replay-of") != null) return false;
    String id = header(record, "fl-id");
    int slash = id.lastIndexOf('/');
    long offset = Long.parseLong(id.substring(slash + 1));
    String source = record.partition() + "/" + id.substring(0, slash);
    if (offset <= HIGHEST.getOrDefault(source, -1L)) return true;
    HIGHEST.put(source, offset);
    return false;
  }

  private static String header(ConsumerRecord<String, String> record, String name) {
    Header header = record.headers().lastHeader(name);
    return header == null ? null : new String(header.value(), java.nio.charset.StandardCharsets.UTF_8);
  }
}
