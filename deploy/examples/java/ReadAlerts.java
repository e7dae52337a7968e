import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Alerts from Kafka, each event once: {@code java ReadAlerts.java KAFKA}.
 *
 * <p>Needs org.apache.kafka:kafka-clients and com.fasterxml.jackson.core:jackson-databind.
 */
public final class ReadAlerts {
  private static final int REMEMBERED = 100_000;

  public static void main(String[] args) throws Exception {
    Map<String, Object> config =
        Map.of(
            "bootstrap.servers", args[0],
            "group.id", args.length > 1 ? args[1] : "alert-reader",
            "auto.offset.reset", "earliest",
            // What an agent in exactly_once mode has not committed is not there yet.
            "isolation.level", "read_committed",
            "enable.auto.commit", "false");
    Map<String, Boolean> seen =
        new LinkedHashMap<>() {
          @Override
          protected boolean removeEldestEntry(Map.Entry<String, Boolean> eldest) {
            return size() > REMEMBERED;
          }
        };
    ObjectMapper json = new ObjectMapper();
    try (var consumer =
        new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
      consumer.subscribe(List.of("fieldline.alerts"));
      while (true) {
        for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofSeconds(1))) {
          JsonNode event = json.readTree(record.value());
          // The same id is the same event, told twice.
          if (seen.put(event.get("id").asText(), true) == null) actOn(event.get("data"));
        }
        // Only now: an alert that was not acted on is read again after a crash.
        consumer.commitSync();
      }
    }
  }

  private static void actOn(JsonNode alert) {
    System.out.printf(
        "%-8s %-8s %s/%s/%s %s: %s%n",
        alert.get("state").asText(),
        alert.get("severity").asText(),
        alert.get("site").asText(),
        alert.get("device").asText(),
        alert.get("metric").asText(),
        alert.get("kind").asText(),
        alert.get("reason").asText());
  }
}
