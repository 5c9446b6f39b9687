"""The contestants in Python: whole epochs (shuffle, gather, step; no evaluation).

    bench.py worker NAME THREADS DIRECTORY   serves turns to the `train` driver, see its worker.rs
    bench.py mnist NAME THREADS DIRECTORY    prints the time to 98 % test accuracy

DIRECTORY holds what the driver wrote, or the gzipped IDX files of MNIST. A contestant is a class
with `reset()` and `epoch(order)`, which trains in the given order of rows, or in a shuffled one of
its own for `None`, and returns the mean loss of the epoch's steps.
"""

import gzip
import os
import sys
import time
from pathlib import Path

import numpy as np

# Epochs after which training starts again from the initial weights, as in worker.rs.
EPOCHS = 200
RATE = 1e-3
EPSILON = 1e-8


class Job:
    """The numbers that the driver wrote."""

    def __init__(self, directory):
        read = lambda name, kind: np.fromfile(directory / name, dtype=kind)
        lines = (directory / "job.txt").read_text().splitlines()
        settings = {line.split()[0]: [int(word) for word in line.split()[1:]] for line in lines}
        self.sizes = settings["sizes"]
        (self.batch,), (self.rows,) = settings["batch"], settings["rows"]
        self.binary = self.sizes[-1] == 1
        self.features = read("features.f32", "<f4").reshape(self.rows, self.sizes[0])
        self.classes = read("classes.u32", "<u4").astype(np.int64)
        self.orders = read("orders.u32", "<u4").astype(np.int64).reshape(-1, self.rows)
        self.layers = []
        params = read("params.f32", "<f4")
        for inputs, outputs in zip(self.sizes, self.sizes[1:]):
            weights, biases, params = np.split(params, [inputs * outputs, (inputs + 1) * outputs])
            self.layers.append((weights.reshape(inputs, outputs), biases))

    @property
    def targets(self):
        """Classes, or for one logit a column of 0 and 1."""
        return self.classes.astype(np.float32)[:, None] if self.binary else self.classes


class Mnist(Job):
    """The training images of MNIST, and a network drawn as each framework's users would."""

    def __init__(self, directory, seed=0):
        def idx(name, header):
            return np.frombuffer(gzip.decompress((directory / name).read_bytes()), np.uint8, -1, header)

        def images(part):
            return idx(f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 784).astype(np.float32) / 255

        def digits(part):
            return idx(f"{part}-labels-idx1-ubyte.gz", 8).astype(np.int64)

        self.features, self.classes = images("train"), digits("train")
        self.test, self.test_classes = images("t10k"), digits("t10k")
        self.rows, self.batch, self.binary = len(self.features), 128, False
        self.sizes = [784, 512, 256, 10]
        rng = np.random.default_rng(seed)
        self.layers = []
        for inputs, outputs in zip(self.sizes, self.sizes[1:]):
            weights = rng.standard_normal((inputs, outputs)) * np.sqrt(2 / inputs)
            self.layers.append((weights.astype(np.float32), np.zeros(outputs, np.float32)))


class PyTorch:
    """The loop of the tutorials: a `DataLoader`, `Adam`, `loss.item()`."""

    def __init__(self, job, threads):
        import torch

        torch.set_num_threads(threads)
        torch.set_num_interop_threads(threads)
        self.torch, self.job = torch, job
        self.features = torch.from_numpy(job.features)
        self.targets = torch.from_numpy(job.targets)
        self.loss = torch.nn.BCEWithLogitsLoss() if job.binary else torch.nn.CrossEntropyLoss()
        self.reset()

    def reset(self):
        nn = self.torch.nn
        layers = []
        for weights, biases in self.job.layers:
            linear = nn.Linear(*weights.shape)
            with self.torch.no_grad():
                linear.weight.copy_(self.torch.from_numpy(weights.T.copy()))
                linear.bias.copy_(self.torch.from_numpy(biases))
            layers += [linear, nn.ReLU()]
        self.model = nn.Sequential(*layers[:-1])
        self.optimizer = self.make_optimizer()

    def make_optimizer(self):
        return self.torch.optim.Adam(self.model.parameters(), lr=RATE)

    def epoch(self, order):
        data = self.torch.utils.data
        rows = data.TensorDataset(self.features, self.targets)
        how = {"shuffle": True} if order is None else {"sampler": order.tolist()}
        total, steps = 0.0, 0
        for features, targets in data.DataLoader(rows, batch_size=self.job.batch, **how):
            self.optimizer.zero_grad()
            loss = self.loss(self.model(features), targets)
            loss.backward()
            self.optimizer.step()
            total += loss.item()
            steps += 1
        return total / steps

    def accuracy(self):
        with self.torch.no_grad():
            answers = self.model(self.torch.from_numpy(self.job.test)).argmax(1).numpy()
        return (answers == self.job.test_classes).mean()


class PyTorchFused(PyTorch):
    """What can be had without compiling: index the rows, fused Adam."""

    def make_optimizer(self):
        return self.torch.optim.Adam(self.model.parameters(), lr=RATE, fused=True)

    def step(self, features, targets):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.model(features), targets)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def epoch(self, order):
        rows = self.job.rows
        order = self.torch.randperm(rows) if order is None else self.torch.from_numpy(order)
        losses = [
            self.step(self.features[batch], self.targets[batch])
            for batch in order.split(self.job.batch)
        ]
        return float(self.torch.stack(losses).mean())


class PyTorchCompile(PyTorchFused):
    """The same with forward and loss through `torch.compile`."""

    def reset(self):
        if hasattr(self, "compiled"):
            # The compiled function stays: it knows the model, whose weights go back.
            with self.torch.no_grad():
                for linear, (weights, biases) in zip(self.model[::2], self.job.layers):
                    linear.weight.copy_(self.torch.from_numpy(weights.T.copy()))
                    linear.bias.copy_(self.torch.from_numpy(biases))
            self.optimizer = self.make_optimizer()
            return
        super().reset()
        self.compiled = self.torch.compile(lambda x, y: self.loss(self.model(x), y))

    def step(self, features, targets):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.compiled(features, targets)
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def quiet_tensorflow(threads):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    return tf


class KerasFit:
    """`compile` and `fit`."""

    def __init__(self, job, threads):
        self.tf, self.job = quiet_tensorflow(threads), job
        import keras

        self.keras = keras
        self.shuffled = True
        dense = keras.layers.Dense
        units = job.sizes[1:]
        hidden = [dense(n, activation="relu") for n in units[:-1]]
        self.model = keras.Sequential([keras.Input((job.sizes[0],)), *hidden, dense(units[-1])])
        self.initial = [array for layer in job.layers for array in layer]
        losses = keras.losses
        self.model.compile(
            optimizer=keras.optimizers.Adam(RATE, epsilon=EPSILON),
            loss=losses.BinaryCrossentropy(from_logits=True)
            if job.binary
            else losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        self.reset()

    def reset(self):
        self.model.set_weights(self.initial)
        for variable in self.model.optimizer.variables:
            if "learning_rate" not in variable.path:
                variable.assign(np.zeros(variable.shape, variable.dtype))

    def epoch(self, order):
        features, targets = self.job.features, self.job.targets
        if order is not None:
            features, targets = features[order], targets[order]
        history = self.model.fit(
            features,
            targets,
            batch_size=self.job.batch,
            shuffle=order is None,
            verbose=0,
        )
        return history.history["loss"][0]

    def turn(self, seconds):
        """Several epochs in one `fit`, for that is how it is called."""
        taken, epochs = 0.0, 1
        steps_of_epoch = -(-self.job.rows // self.job.batch)
        steps = 0
        while taken < seconds:
            self.reset()
            self.epoch(None)
            epochs = max(1, min(EPOCHS, epochs))
            start = time.perf_counter()
            self.model.fit(
                self.job.features,
                self.job.targets,
                batch_size=self.job.batch,
                epochs=epochs,
                verbose=0,
            )
            last = time.perf_counter() - start
            taken += last
            steps += epochs * steps_of_epoch
            epochs = int(epochs * 1.2 * seconds / last) + 1
        return taken, steps

    def accuracy(self):
        answers = self.model.predict(self.job.test, batch_size=1000, verbose=0).argmax(1)
        return (answers == self.job.test_classes).mean()


class TensorFlowXla:
    """A whole epoch in one `tf.function(jit_compile=True)`."""

    def __init__(self, job, threads):
        tf = quiet_tensorflow(threads)
        self.tf, self.job = tf, job
        self.features, self.targets = tf.constant(job.features), tf.constant(job.targets)
        self.rng = np.random.default_rng(0)
        self.initial = [array for layer in job.layers for array in layer]
        self.params = [tf.Variable(array) for array in self.initial]
        self.first = [tf.Variable(tf.zeros_like(array)) for array in self.initial]
        self.second = [tf.Variable(tf.zeros_like(array)) for array in self.initial]
        self.count = tf.Variable(0.0)
        self.run = tf.function(self.make(), jit_compile=True)

    def make(self):
        tf, job = self.tf, self.job
        steps = job.rows // job.batch

        def loss_of(features, targets):
            h = features
            for l in range(0, len(self.params), 2):
                h = h @ self.params[l] + self.params[l + 1]
                if l + 2 < len(self.params):
                    h = tf.nn.relu(h)
            if job.binary:
                return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(targets, h))
            return tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(targets, h)
            )

        def epoch(order):
            total = tf.constant(0.0)
            batches = tf.reshape(order, (steps, job.batch))
            for step in tf.range(steps):
                rows = batches[step]
                features, targets = tf.gather(self.features, rows), tf.gather(self.targets, rows)
                with tf.GradientTape() as tape:
                    loss = loss_of(features, targets)
                gradients = tape.gradient(loss, self.params)
                count = self.count + 1.0
                self.count.assign(count)
                first_scale = 1.0 / (1.0 - tf.pow(0.9, count))
                second_scale = 1.0 / (1.0 - tf.pow(0.999, count))
                for w, m, v, g in zip(self.params, self.first, self.second, gradients):
                    m.assign(0.9 * m + 0.1 * g)
                    v.assign(0.999 * v + 0.001 * g * g)
                    w.assign_sub(
                        RATE * (m * first_scale) / (tf.sqrt(v * second_scale) + EPSILON)
                    )
                total += loss
            return total / steps

        return epoch

    def reset(self):
        for variable, array in zip(self.params, self.initial):
            variable.assign(array)
        for variable in self.first + self.second:
            variable.assign(self.tf.zeros_like(variable))
        self.count.assign(0.0)

    def epoch(self, order):
        order = self.rng.permutation(self.job.rows) if order is None else order
        return float(self.run(self.tf.constant(order.astype(np.int32))))


class JaxScan:
    """A whole epoch in one `jit` with `lax.scan`, the state donated."""

    def __init__(self, job, threads):
        os.environ["JAX_PLATFORMS"] = "cpu"
        if threads == 1:
            os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
        import jax
        import jax.numpy as jnp

        self.jax, self.jnp, self.job = jax, jnp, job
        self.features, self.targets = jnp.asarray(job.features), jnp.asarray(job.targets)
        self.rng = np.random.default_rng(0)
        self.run = jax.jit(self.make(), donate_argnums=0)
        self.reset()

    def make(self):
        jax, jnp, job = self.jax, self.jnp, self.job
        steps = job.rows // job.batch

        def loss_of(params, features, targets):
            h = features
            for l, (weights, biases) in enumerate(params):
                h = h @ weights + biases
                if l + 1 < len(params):
                    h = jax.nn.relu(h)
            if job.binary:
                return jnp.mean(jax.nn.softplus(h) - targets * h)
            log = jax.nn.log_softmax(h)
            return -jnp.mean(jnp.take_along_axis(log, targets[:, None], axis=1))

        def epoch(state, features, targets, order):
            def step(state, rows):
                params, first, second, count = state
                loss, gradients = jax.value_and_grad(loss_of)(params, features[rows], targets[rows])
                count = count + 1
                first_scale = 1 / (1 - 0.9**count)
                second_scale = 1 / (1 - 0.999**count)
                tree = jax.tree.map
                first = tree(lambda m, g: 0.9 * m + 0.1 * g, first, gradients)
                second = tree(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradients)
                params = tree(
                    lambda w, m, v: w
                    - RATE * (m * first_scale) / (jnp.sqrt(v * second_scale) + EPSILON),
                    params,
                    first,
                    second,
                )
                return (params, first, second, count), loss

            state, losses = jax.lax.scan(step, state, order.reshape(steps, job.batch))
            return state, jnp.mean(losses)

        return epoch

    def reset(self):
        tree, jnp = self.jax.tree.map, self.jnp
        params = tree(jnp.array, [tuple(layer) for layer in self.job.layers])
        zeros = lambda: tree(jnp.zeros_like, params)
        self.state = (params, zeros(), zeros(), jnp.float32(0))

    def epoch(self, order):
        order = self.rng.permutation(self.job.rows) if order is None else order
        order = order.astype(np.int32)
        self.state, loss = self.run(self.state, self.features, self.targets, order)
        return float(loss)


class ScikitLearn:
    """`MLPClassifier.partial_fit`: one call is an epoch."""

    def __init__(self, job, threads):
        from threadpoolctl import threadpool_limits

        threadpool_limits(threads)
        self.job = job
        self.reset()

    def reset(self):
        from sklearn.neural_network import MLPClassifier

        job = self.job
        self.model = MLPClassifier(
            tuple(job.sizes[1:-1]),
            alpha=0.0,
            batch_size=job.batch,
            learning_rate_init=RATE,
            epsilon=EPSILON,
        )
        # The first call makes the network, whose weights and optimizer are then replaced.
        some = slice(job.batch)
        labels = np.unique(job.classes)
        self.model.partial_fit(job.features[some], job.classes[some], classes=labels)
        for to, (weights, _) in zip(self.model.coefs_, job.layers):
            to[:] = weights
        for to, (_, biases) in zip(self.model.intercepts_, job.layers):
            to[:] = biases
        del self.model._optimizer

    def epoch(self, order):
        features, classes = self.job.features, self.job.classes
        if order is not None:
            features, classes = features[order], classes[order]
        self.model.shuffle = order is None
        self.model.partial_fit(features, classes)
        return self.model.loss_


CONTESTANTS = {
    "pytorch-loader": PyTorch,
    "pytorch-fused": PyTorchFused,
    "pytorch-compile": PyTorchCompile,
    "keras-fit": KerasFit,
    "tensorflow-xla": TensorFlowXla,
    "jax-scan": JaxScan,
    "scikit-learn": ScikitLearn,
}


def turn(contestant, job, seconds):
    """Trains for about so many seconds; returns the time of the epochs and their steps."""
    if hasattr(contestant, "turn"):
        return contestant.turn(seconds)
    taken, steps = 0.0, 0
    while taken < seconds:
        contestant.reset()
        # As in worker.rs, the first epoch makes buffers.
        contestant.epoch(None)
        for _ in range(EPOCHS):
            start = time.perf_counter()
            contestant.epoch(None)
            taken += time.perf_counter() - start
            steps += -(-job.rows // job.batch)
            if taken >= seconds:
                break
    return taken, steps


def worker(name, threads, directory):
    job = Job(directory)
    contestant = CONTESTANTS[name](job, threads)
    contestant.reset()
    print("ready", *(float(contestant.epoch(order)) for order in job.orders), flush=True)
    for line in sys.stdin:
        print("turn", *turn(contestant, job, float(line)), flush=True)


def mnist(name, threads, directory):
    job = Mnist(directory)
    contestant = CONTESTANTS[name](job, threads)
    start = time.perf_counter()
    for epoch in range(1, 21):
        contestant.epoch(None)
        accuracy = contestant.accuracy()
        if accuracy >= 0.98:
            break
    taken = time.perf_counter() - start
    print(f"| {name} | {threads} | {taken:.2f} | {epoch} | {accuracy:.2%} |".replace("%", " %"))


if __name__ == "__main__":
    mode, name, threads, directory = sys.argv[1:]
    {"worker": worker, "mnist": mnist}[mode](name, int(threads), Path(directory))
