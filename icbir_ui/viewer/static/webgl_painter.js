// The same picture by the graphics processor: one context for all panes, integer textures at the film's full depth.

const VERTEX_SHADER = `#version 300 es
void main() { gl_Position = vec4(vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4.0 - 1.0, 0.0, 1.0); }`;

const FRAGMENT_SHADER = `#version 300 es
precision highp float; precision highp usampler2D; precision highp sampler2D;
uniform usampler2D film; uniform sampler2D map; uniform sampler2D colours;
uniform vec2 pane, filmSize, origin; uniform float scale, peak, low, gain, contour; uniform bool invert, overlaid;
out vec4 result;
float grey(vec2 at) {
  ivec2 size = textureSize(film, 0);
  vec2 p = clamp(at * vec2(size) / filmSize - 0.5, vec2(0.0), vec2(size - 1));
  ivec2 a = ivec2(p), b = min(a + 1, size - 1); vec2 w = p - vec2(a);
  float top = mix(float(texelFetch(film, a, 0).r), float(texelFetch(film, ivec2(b.x, a.y), 0).r), w.x);
  float bottom = mix(float(texelFetch(film, ivec2(a.x, b.y), 0).r), float(texelFetch(film, b, 0).r), w.x);
  return floor(mix(top, bottom, w.y) + 0.5);
}
float stepAt(vec2 at) { return floor(texture(map, at / filmSize).r * 255.0 + 0.5); }
vec4 entry(float s, int row) { return texelFetch(colours, ivec2(int(s), row), 0); }
int bandOf(float s) { return int(entry(s, 1).a * 255.0 + 0.5); }
void main() {
  vec2 at = origin + vec2(gl_FragCoord.x, pane.y - gl_FragCoord.y) / scale;
  if (any(lessThan(at, vec2(0.0))) || any(greaterThanEqual(at, filmSize))) { result = vec4(0, 0, 0, 1); return; }
  float g = clamp((grey(at) - low * peak) * gain / peak, 0.0, 1.0);
  if (invert) g = 1.0 - g;
  vec3 colour = vec3(g);
  if (overlaid) {
    float s = stepAt(at); vec4 c = entry(s, 0); float alpha = c.a;
    if (contour > 0.0) {
      float left = stepAt(max(at - vec2(1.0 / scale, 0.0), vec2(0.0))), up = stepAt(max(at - vec2(0.0, 1.0 / scale), vec2(0.0)));
      int mine = bandOf(s), other = bandOf(left), third = bandOf(up);
      alpha = mine != other || mine != third ? contour : 0.0;
      float inner = s;
      if ((other & 7) > (mine & 7)) { inner = left; mine = other; }
      if ((third & 7) > (mine & 7)) inner = up;
      c = entry(inner, 1);
    }
    colour = mix(colour, c.rgb, alpha);
  }
  result = vec4(colour, 1.0);
}`;

class WebGLPainter {
  static open() {
    // Null where there is no WebGL 2, or where it is only emulated on the processor (then the other painter is faster).
    // Found out once a page, because asking takes a browser without graphics processor some 10 ms.
    const wanted = globalThis[Symbol.for("icbir.painter")];
    if (wanted !== "webgl" && WebGLPainter.useless) return null;
    const painter = WebGLPainter.tryOpen(wanted);
    WebGLPainter.useless = painter === null;
    return painter;
  }

  static tryOpen(wanted) {
    const surface = document.createElement("canvas");
    const gl = surface.getContext("webgl2", { alpha: false, antialias: false, preserveDrawingBuffer: true });
    if (!gl) return null;
    const info = gl.getExtension("WEBGL_debug_renderer_info");
    const name = String(gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
    if (wanted !== "webgl" && /swiftshader|llvmpipe|software|basic render/i.test(name)) return null;
    return new WebGLPainter(surface, gl);
  }

  constructor(surface, gl) {
    Object.assign(this, { kind: "webgl", surface, gl, textures: new Map(), uniforms: {} });
    this.build();
    surface.addEventListener("webglcontextlost", (event) => { event.preventDefault(); this.lost = true; });
  }

  build() {
    const gl = this.gl, program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX_SHADER], [gl.FRAGMENT_SHADER, FRAGMENT_SHADER]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    gl.useProgram(program);
    const count = gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS);
    for (let i = 0; i < count; i++) {
      const { name } = gl.getActiveUniform(program, i);
      this.uniforms[name] = gl.getUniformLocation(program, name);
    }
    ["film", "map", "colours"].forEach((name, unit) => gl.uniform1i(this.uniforms[name], unit));
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    this.largest = gl.getParameter(gl.MAX_TEXTURE_SIZE);
  }

  texture(unit, key, make) {
    const gl = this.gl;
    gl.activeTexture(gl.TEXTURE0 + unit);
    let texture = this.textures.get(key);
    if (texture) return gl.bindTexture(gl.TEXTURE_2D, texture);
    texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    const { inner, width, height, format, type, pixels, filter } = make();
    gl.texImage2D(gl.TEXTURE_2D, 0, inner, width, height, 0, format, type, pixels);
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, name, filter);
    for (const name of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, name, gl.CLAMP_TO_EDGE);
    this.textures.set(key, texture);
  }

  forget(keys, hashes) {
    for (const [key, texture] of this.textures) {
      if (hashes.has(key.split(":")[0])) continue;
      this.gl.deleteTexture(texture);
      this.textures.delete(key);
    }
  }

  paint(context, key, rect, film, view, look) {
    const { gl, uniforms, surface } = this;
    if (surface.width < rect.width) surface.width = rect.width;
    if (surface.height < rect.height) surface.height = rect.height;
    gl.viewport(0, surface.height - rect.height, rect.width, rect.height);
    const scale = scaleOf(view, film, rect), number = chooseLevel(film, scale), level = film.levels[number];
    const deep = film.bits !== 8;
    this.texture(0, `${film.hash}:${number}`, () => ({
      inner: deep ? gl.R16UI : gl.R8UI, format: gl.RED_INTEGER, type: deep ? gl.UNSIGNED_SHORT : gl.UNSIGNED_BYTE,
      width: level.width, height: level.height, pixels: level.pixels, filter: gl.NEAREST,
    }));
    if (look.map && look.overlay) {
      this.texture(1, `${look.map.hash}:${look.map.id}`, () => ({
        inner: gl.R8, format: gl.RED, type: gl.UNSIGNED_BYTE, filter: gl.LINEAR,
        width: look.map.width, height: look.map.height, pixels: new Uint8Array(look.map.steps.buffer),
      }));
      this.texture(2, `colours:${look.overlay.id}`, () => {
        const { fill, band, line } = look.overlay, pixels = new Uint8Array(2048);
        for (let i = 0; i < 1024; i++) pixels[i] = i % 4 === 3 ? Math.round(255 * fill[i]) : fill[i];
        for (let step = 0; step < 256; step++) pixels.set([...line.subarray(3 * step, 3 * step + 3), band[step]], 1024 + 4 * step);
        return { inner: gl.RGBA8, format: gl.RGBA, type: gl.UNSIGNED_BYTE, filter: gl.NEAREST, width: 256, height: 2, pixels };
      });
    }
    gl.uniform2f(uniforms.pane, rect.width, surface.height);
    gl.uniform2f(uniforms.filmSize, film.width, film.height);
    gl.uniform2f(uniforms.origin, view.x * film.width - rect.width / 2 / scale, view.y * film.height - rect.height / 2 / scale);
    gl.uniform1f(uniforms.scale, scale);
    gl.uniform1f(uniforms.peak, film.max);
    gl.uniform1f(uniforms.low, look.window.centre - look.window.width / 2);
    gl.uniform1f(uniforms.gain, 1 / look.window.width);
    gl.uniform1f(uniforms.contour, look.overlay?.contour ?? 0);
    gl.uniform1i(uniforms.invert, look.invert ? 1 : 0);
    gl.uniform1i(uniforms.overlaid, look.map && look.overlay ? 1 : 0);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    context.drawImage(surface, 0, 0, rect.width, rect.height, rect.left, rect.top, rect.width, rect.height);
  }
}
