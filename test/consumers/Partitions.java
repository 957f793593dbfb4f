// The partition of each key as Java's producer has it by default: java -cp 'libs/*' Partitions.java COUNT KEY...

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;

public class Partitions {
  public static void main(String[] arguments) {
    int count = Integer.parseInt(arguments[0]);
    for (String key : Arrays.copyOfRange(arguments, 1, arguments.length))
      System.out.println(BuiltInPartitioner.partitionForKey(key.getBytes(StandardCharsets.UTF_8), count));
  }
}
