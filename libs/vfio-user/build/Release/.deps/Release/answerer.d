cmd_Release/answerer := g++ -o Release/answerer -pthread -rdynamic -m64  -Wl,--start-group ./Release/obj.target/answerer/native/answerer.o  -Wl,--end-group
