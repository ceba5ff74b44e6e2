// A service in Java that has a playbook run. On the class path: kafka-clients, and nothing of ours.
//   java -cp 'kafka/libs/*' Ask.java localhost:9092 hello '{"who": "you"}' noetl.requests replies

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

class Ask {
    public static void main(String[] args) throws Exception {
        String kafka = args[0], playbook = args[1], payload = args[2], requests = args[3], replies = args[4];
        String key = UUID.randomUUID().toString(); // asked again with the same key, a playbook does not run again
        String request = """
            {"playbook": "%s", "payload": %s, "idempotency_key": "%s", "correlation": "%s", "reply_to": "%s"}
            """.formatted(playbook, payload, key, key, replies);
        Map<String, Object> from = Map.of("bootstrap.servers", kafka, "group.id", key, "auto.offset.reset", "earliest");
        Map<String, Object> to = Map.of("bootstrap.servers", kafka, "acks", "all");
        try (var consumer = new KafkaConsumer<>(from, new StringDeserializer(), new StringDeserializer());
             var producer = new KafkaProducer<>(to, new StringSerializer(), new StringSerializer())) {
            consumer.subscribe(List.of(replies));
            producer.send(new ProducerRecord<>(requests, request)).get();
            while (true) {
                for (var reply : consumer.poll(Duration.ofSeconds(1))) {
                    if (key.equals(reply.key())) {
                        System.out.println(reply.value()); // JSON with `status`, `result` and `error`
                        return;
                    }
                }
            }
        }
    }
}
