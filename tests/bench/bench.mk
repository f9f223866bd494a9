# Rules of programs that need more than their own file and the library.

# nginx's radix tree comes from its source package (nginx-dev has headers
# only); where that cannot be had the comparison is left out, and said so.
build/obj/tests/bench/nginx_radix.o: tests/bench/nginx_radix.c \
        tests/bench/nginx_radix.h build/nginx/ngx_auto_config.h
	@mkdir -p $(@D)
	@tree=$$(tests/nginx-source.sh) || tree=; \
	source=$$tree/src/core/ngx_radix_tree.c; \
	if [ -n "$$tree" ] && [ -f "$$source" ]; then \
	    set -- "-DNGINX_RADIX_SOURCE=\"$$source\""; \
	else \
	    echo "without nginx's source: its radix tree is not compared"; \
	    set --; \
	fi; \
	$(CC) -std=gnu11 -O2 -g $(NGINX_INCLUDES) "$$@" -c -o $@ $<

build/bench/bench_policy: build/obj/tests/bench/nginx_radix.o \
        build/obj/tests/bench/mmdb_writer.o

build/bench/bench_trail: build/obj/tests/bench/trail_socket.o

build/obj/tests/unit/test_geoip: build/obj/tests/bench/mmdb_writer.o
build/sanitize/tests/unit/test_geoip: build/sanitize/tests/bench/mmdb_writer.o
