// Run an engine of a bundle with nothing but TensorRT (10 or later) and the CUDA runtime.
//
//   g++ -std=c++17 plain_tensorrt.cpp -I/usr/local/cuda/include -L/usr/local/cuda/lib64 -lnvinfer -lcudart -o plain_tensorrt
//   ./plain_tensorrt ma52.bundle/model.fp16.tensorrt.engine window.bin 1 64 44 2
//
// window.bin holds raw pixels: float32, (N, T, V, C) in row-major order, which the numbers at the end say.
#include <NvInfer.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <vector>

struct Logger : nvinfer1::ILogger {
    void log(Severity severity, const char* message) noexcept override {
        if (severity <= Severity::kWARNING) std::cerr << message << '\n';
    }
};

static void check(bool good, const char* what) {
    if (good) return;
    std::cerr << what << " failed\n";
    std::exit(1);
}

static std::vector<char> read(const char* path) {
    std::ifstream file(path, std::ios::binary);
    check(file.good(), path);
    return {std::istreambuf_iterator<char>(file), {}};
}

int main(int argc, char** argv) {
    check(argc == 7, "usage: plain_tensorrt ENGINE WINDOW N T V C: it");
    const std::vector<char> plan = read(argv[1]), keypoints = read(argv[2]);
    nvinfer1::Dims shape{4, {std::atoi(argv[3]), std::atoi(argv[4]), std::atoi(argv[5]), std::atoi(argv[6])}};
    check(keypoints.size() == sizeof(float) * shape.d[0] * shape.d[1] * shape.d[2] * shape.d[3], "the window's size");

    Logger logger;  // outlives all that is made with it; the rest goes in the opposite order of its making
    std::unique_ptr<nvinfer1::IRuntime> runtime(nvinfer1::createInferRuntime(logger));
    std::unique_ptr<nvinfer1::ICudaEngine> engine(runtime->deserializeCudaEngine(plan.data(), plan.size()));
    check(engine != nullptr, "deserializeCudaEngine");
    std::unique_ptr<nvinfer1::IExecutionContext> context(engine->createExecutionContext());
    check(context != nullptr && context->setInputShape("keypoints", shape), "setInputShape");

    const size_t classes = context->getTensorShape("probabilities").d[1], outputs = shape.d[0] * classes;
    void *input = nullptr, *logits = nullptr, *probabilities = nullptr;
    check(cudaMalloc(&input, keypoints.size()) == cudaSuccess, "cudaMalloc");
    check(cudaMalloc(&logits, outputs * sizeof(float)) == cudaSuccess, "cudaMalloc");
    check(cudaMalloc(&probabilities, outputs * sizeof(float)) == cudaSuccess, "cudaMalloc");
    check(context->setTensorAddress("keypoints", input) && context->setTensorAddress("logits", logits) &&
              context->setTensorAddress("probabilities", probabilities),
          "setTensorAddress");

    cudaStream_t stream;
    std::vector<float> found(outputs);
    check(cudaStreamCreate(&stream) == cudaSuccess, "cudaStreamCreate");
    cudaMemcpyAsync(input, keypoints.data(), keypoints.size(), cudaMemcpyHostToDevice, stream);
    check(context->enqueueV3(stream), "enqueueV3");
    cudaMemcpyAsync(found.data(), probabilities, outputs * sizeof(float), cudaMemcpyDeviceToHost, stream);
    check(cudaStreamSynchronize(stream) == cudaSuccess, "the run");
    for (auto row = found.begin(); row != found.end(); row += classes) {
        const auto best = std::max_element(row, row + classes);
        std::printf("%ld %.4f\n", static_cast<long>(best - row), *best);
    }
    cudaStreamDestroy(stream);
    for (void* pointer : {input, logits, probabilities}) cudaFree(pointer);
}
