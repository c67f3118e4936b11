# java: compile, pack, run with threads, files, a child, a socket to itself.
set -e
mkdir -p src out && cat >src/Main.java <<'END'
import java.io.*; import java.net.*; import java.nio.file.*; import java.util.*; import java.util.concurrent.*; import java.util.stream.*;
public class Main {
	public static void main(String[] a) throws Exception {
		ExecutorService pool = Executors.newFixedThreadPool(8);
		List<Future<Long>> sums = new ArrayList<>();
		Path d = Files.createTempDirectory(Path.of("."), "j");
		for (int i = 0; i < 64; i++) {
			final int n = i;
			sums.add(pool.submit(() -> {
				Path p = d.resolve("f" + n);
				Files.writeString(p, "x".repeat(n));
				Files.move(p, d.resolve("g" + n), StandardCopyOption.ATOMIC_MOVE);
				return Files.size(d.resolve("g" + n));
			}));
		}
		long sum = 0;
		for (Future<Long> f : sums) sum += f.get();
		pool.shutdown();
		System.out.println(sum);
		try (ServerSocket s = new ServerSocket(0, 5, InetAddress.getByName("127.0.0.1"))) {
			Thread t = new Thread(() -> { try (Socket c = s.accept()) { c.getOutputStream().write("hello\n".getBytes()); } catch (IOException e) { System.out.println(e); } });
			t.start();
			try (Socket c = new Socket("127.0.0.1", s.getLocalPort())) {
				System.out.println(new BufferedReader(new InputStreamReader(c.getInputStream())).readLine());
			}
			t.join();
		}
		System.out.println(new ProcessBuilder("sh", "-c", "exit 6").start().waitFor());
		try (Stream<Path> w = Files.walk(d)) { w.sorted(Comparator.reverseOrder()).forEach(p -> p.toFile().delete()); }
		System.out.println(Files.exists(d));
		try (WatchService w = FileSystems.getDefault().newWatchService()) {
			Path.of(".").register(w, StandardWatchEventKinds.ENTRY_CREATE);
			Files.writeString(Path.of("watched"), "");
			System.out.println(w.poll(60, TimeUnit.SECONDS).pollEvents().get(0).context());
		}
	}
}
END
java -m jdk.compiler/com.sun.tools.javac.Main -d out src/Main.java
if java -m jdk.jartool/sun.tools.jar.Main --create --file main.jar --main-class Main -C out . 2>/dev/null; then java -jar main.jar; else java -cp out Main; fi
