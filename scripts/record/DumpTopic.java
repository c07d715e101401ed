import java.io.BufferedOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Writes the records of a single-partition topic to stdout, one line each, until none has come for
 * five seconds: the bare value, or {"key":…,"value":…} with "keys" as third argument. A tombstone is
 * null. Keys and values are written byte for byte: the converter leaves no line break in them.
 */
public final class DumpTopic {
    public static void main(String[] arguments) throws Exception {
        boolean keys = arguments.length > 2 && arguments[2].equals("keys");
        Properties properties = new Properties();
        properties.put("bootstrap.servers", arguments[0]);
        properties.put("key.deserializer", ByteArrayDeserializer.class.getName());
        properties.put("value.deserializer", ByteArrayDeserializer.class.getName());
        PrintStream out = new PrintStream(new BufferedOutputStream(System.out, 1 << 16), false, StandardCharsets.UTF_8);
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(properties)) {
            TopicPartition partition = new TopicPartition(arguments[1], 0);
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            for (long last = System.nanoTime(); System.nanoTime() - last < 5_000_000_000L; ) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(500))) {
                    String value = text(record.value());
                    out.print(keys ? "{\"key\":" + text(record.key()) + ",\"value\":" + value + "}\n" : value + "\n");
                    last = System.nanoTime();
                }
            }
        }
        out.flush();
    }

    private static String text(byte[] bytes) {
        return bytes == null ? "null" : new String(bytes, StandardCharsets.UTF_8);
    }
}
