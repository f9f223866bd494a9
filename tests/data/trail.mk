# The driver of lib/trail for tests/integration/test_trail_independent.py;
# included by the Makefile, made by `make tests`.

build/obj/tests/data/trail_make: build/obj/tests/data/trail_make.o \
                                 build/obj/libsekisho.a
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

tests: build/obj/tests/data/trail_make
