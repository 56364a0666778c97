// Correct: a hundred thousand null pointers and a few full stacks, each caught.
public class NullChecks {
    int value = 1;

    static int read(NullChecks object) {
        return object.value;
    }

    static int descend(int depth) {
        return descend(depth + 1) + 1;
    }

    public static void main(String[] arguments) throws Exception {
        int caught = 0, full = 0;
        NullChecks object = new NullChecks();
        for (int turn = 0; turn < 100_000; turn++) {
            try {
                read(turn % 2 == 0 ? object : null);
            } catch (NullPointerException error) {
                caught++;
            }
        }
        for (int turn = 0; turn < 5; turn++) {
            try {
                descend(0);
            } catch (StackOverflowError error) {
                full++;
            }
        }
        Thread[] threads = new Thread[4];
        for (int number = 0; number < threads.length; number++) {
            threads[number] = new Thread(() -> {
                byte[][] kept = new byte[100][];
                for (int turn = 0; turn < 20_000; turn++)
                    kept[turn % 100] = new byte[1000];
            });
            threads[number].start();
        }
        System.gc();
        for (Thread thread : threads)
            thread.join();
        System.out.println(caught + " null pointers, " + full + " full stacks");
    }
}
